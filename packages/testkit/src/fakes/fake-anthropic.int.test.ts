import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collectSse } from '../processes/read-sse.ts';
import { waitFor } from '../processes/wait-for.ts';
import { startFakeAnthropic, type FakeAnthropic } from './fake-anthropic.ts';

const request = { model: 'm', max_tokens: 100, messages: [{ role: 'user', content: 'Hi' }] };

let fake: FakeAnthropic;
beforeEach(async () => {
  fake = await startFakeAnthropic({ models: { m: {} } });
});
afterEach(() => fake.close());

function post(body: unknown, headers: Record<string, string | undefined> = {}): Promise<Response> {
  const all: Record<string, string | undefined> = {
    'content-type': 'application/json',
    'x-api-key': fake.apiKey,
    'anthropic-version': '2023-06-01',
    ...headers,
  };
  const present = Object.entries(all).filter(([, value]) => value !== undefined);
  return fetch(`${fake.baseUrl}/v1/messages`, {
    method: 'POST',
    headers: Object.fromEntries(present) as Record<string, string>,
    body: JSON.stringify(body),
  });
}

interface Wire {
  readonly type: string;
  readonly delta?: { text?: string; stop_reason?: string };
  readonly message?: { usage: { input_tokens: number } };
  readonly usage?: { output_tokens: number };
  readonly error?: { type: string; message: string };
}

async function stream(body: object): Promise<Wire[]> {
  const events = await collectSse((await post({ ...body, stream: true })).body!);
  return events.map(({ event, data }) => {
    const parsed = JSON.parse(data) as Wire;
    expect(event).toBe(parsed.type);
    return parsed;
  });
}

describe('the fake Anthropic', () => {
  it('streams the events of a message in their order', async () => {
    fake.script('m', { steps: ['a\n\n', 'b'], usage: { promptTokens: 9 } });
    const events = await stream(request);
    expect(events.map(({ type }) => type)).toEqual([
      'message_start',
      'content_block_start',
      'ping',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    expect(events[0]?.message?.usage.input_tokens).toBe(9);
    expect(events.map(({ delta }) => delta?.text ?? '').join('')).toBe('a\n\nb');
    expect(events[6]).toMatchObject({
      delta: { stop_reason: 'end_turn' },
      usage: { output_tokens: 2 },
    });
  });

  it('stops at max_tokens', async () => {
    const events = await stream({ ...request, max_tokens: 1 });
    expect(events.at(-2)).toMatchObject({
      delta: { stop_reason: 'max_tokens' },
      usage: { output_tokens: 1 },
    });
  });

  it('answers plainly', async () => {
    const answer: unknown = await (await post({ ...request, system: 'Be brief.' })).json();
    expect(answer).toMatchObject({
      type: 'message',
      role: 'assistant',
      content: [{ type: 'text', text: 'Hello from a fake model.' }],
      stop_reason: 'end_turn',
      usage: { output_tokens: 6 },
    });
  });

  it('reports an error inside a stream', async () => {
    fake.script('m', { steps: ['a', { streamError: 'Overloaded' }, 'never sent'] });
    const events = await stream(request);
    expect(events.at(-1)).toEqual({
      type: 'error',
      error: { type: 'overloaded_error', message: 'Overloaded' },
    });
  });

  it.each([
    [529, 'overloaded_error'],
    [429, 'rate_limit_error'],
    [500, 'api_error'],
  ])('answers %i when scripted', async (status, type) => {
    fake.script('m', { status, retryAfterSeconds: 3 });
    const response = await post(request);
    expect(response.status).toBe(status);
    expect(response.headers.get('retry-after')).toBe('3');
    expect(await response.json()).toMatchObject({ type: 'error', error: { type } });
  });

  it('notes a client that leaves', async () => {
    fake.script('m', { steps: ['a', { stall: true }] });
    const leave = new AbortController();
    const response = await fetch(`${fake.baseUrl}/v1/messages`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-api-key': fake.apiKey,
        'anthropic-version': '2023-06-01',
      },
      body: JSON.stringify({ ...request, stream: true }),
      signal: leave.signal,
    });
    expect(response.status).toBe(200);
    await waitFor(() => fake.requests[0]?.chunksSent === 1);
    leave.abort();
    await waitFor(() => fake.requests[0]?.outcome === 'aborted');
  });

  it.each([
    ['no key', { 'x-api-key': undefined }, 401, 'authentication_error'],
    [
      'a bearer instead of a key',
      { 'x-api-key': undefined, authorization: 'Bearer x' },
      401,
      'authentication_error',
    ],
    ['no version', { 'anthropic-version': undefined }, 400, 'invalid_request_error'],
    ['another version', { 'anthropic-version': '2020-01-01' }, 400, 'invalid_request_error'],
  ])('refuses %s', async (_what, headers, status, type) => {
    const response = await post(request, headers);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ type: 'error', error: { type } });
  });

  it.each([
    ['an unknown field', { stream_options: {} }, 'stream_options: Extra inputs are not permitted'],
    ['no max_tokens', { max_tokens: undefined }, 'max_tokens: Field required'],
    [
      'max_tokens of 0',
      { max_tokens: 0 },
      'max_tokens: Input should be greater than or equal to 1',
    ],
    [
      'a system role',
      { messages: [{ role: 'system', content: 'x' }] },
      "messages.0: use the top-level 'system' parameter for the initial system prompt",
    ],
    [
      'a temperature of 2',
      { temperature: 2 },
      'temperature: Input should be less than or equal to 1',
    ],
    [
      'an empty message',
      { messages: [{ role: 'user', content: '' }] },
      'messages.0.content: user messages must have non-empty content',
    ],
    ['no messages', { messages: [] }, 'messages: at least one message is required'],
  ])('refuses %s', async (_what, change, message) => {
    const response = await post({ ...request, ...change });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { type: 'invalid_request_error', message },
    });
  });
});
