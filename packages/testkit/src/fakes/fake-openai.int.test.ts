import OpenAI, { type APIError } from 'openai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collectSse, readSse } from '../processes/read-sse.ts';
import { waitFor } from '../processes/wait-for.ts';
import { startFakeOpenAI, type FakeOpenAI } from './fake-openai.ts';

const messages = [{ role: 'user' as const, content: 'Hi' }];

let fake: FakeOpenAI;
let client: OpenAI;

beforeEach(async () => {
  fake = await startFakeOpenAI({ models: { m: {} } });
  client = new OpenAI({ baseURL: fake.baseUrl, apiKey: fake.apiKey, maxRetries: 0 });
});
afterEach(() => fake.close());

function post(body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${fake.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${fake.apiKey}`,
      ...headers,
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

interface ErrorBody {
  readonly error: { message: string; param: string | null; code: string | null };
}

describe('the fake OpenAI, to the real SDK', () => {
  it('streams chunks, a finish reason, and the usage only when asked', async () => {
    fake.script('m', { steps: ['a\n\n', 'data: b\r', 'ü'] });
    const stream = await client.chat.completions.create({
      model: 'm',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await all(stream);
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    expect(text).toBe('a\n\ndata: b\rü');
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)?.choices).toEqual([]);
    expect(chunks.at(-1)?.usage?.completion_tokens).toBe(3);

    const plain = await client.chat.completions.create({ model: 'm', messages, stream: true });
    const without = await all(plain);
    expect(without.every((chunk) => chunk.usage === undefined)).toBe(true);
    expect(without.at(-1)?.choices[0]?.finish_reason).toBe('stop');
  });

  it('answers plainly with scripted usage', async () => {
    fake.script('m', { steps: ['x', 'y'], usage: { promptTokens: 11, completionTokens: 7 } });
    const answer = await client.chat.completions.create({ model: 'm', messages });
    expect(answer.choices[0]?.message.content).toBe('xy');
    expect(answer.usage).toMatchObject({
      prompt_tokens: 11,
      completion_tokens: 7,
      total_tokens: 18,
    });
  });

  it('stops at max_tokens as a model does', async () => {
    const answer = await client.chat.completions.create({
      model: 'm',
      messages,
      max_completion_tokens: 2,
    });
    expect(answer.choices[0]).toMatchObject({
      message: { content: 'Hello from' },
      finish_reason: 'length',
    });
  });

  it('lists its models', async () => {
    expect((await client.models.list()).data.map((model) => model.id)).toEqual(['m']);
  });

  it.each([401, 429, 500, 503])('answers %i when scripted', async (status) => {
    fake.script('m', { status, retryAfterSeconds: 7, errorMessage: 'scripted text' });
    const error = (await client.chat.completions
      .create({ model: 'm', messages })
      .catch((reason: unknown) => reason)) as APIError;
    expect(error.status).toBe(status);
    expect(error.headers?.get('retry-after')).toBe('7');
    expect(error.message).toContain('scripted text');
  });

  it('serves several scenarios in order and keeps the last', async () => {
    fake.script('m', { status: 500 }, { steps: ['ok'] });
    await expect(client.chat.completions.create({ model: 'm', messages })).rejects.toThrow();
    for (let request = 0; request < 2; request += 1) {
      const answer = await client.chat.completions.create({ model: 'm', messages });
      expect(answer.choices[0]?.message.content).toBe('ok');
    }
  });
});

describe('the fake OpenAI, on the wire', () => {
  it('frames each chunk as one event and ends with [DONE]', async () => {
    const response = await post({ model: 'm', messages, stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const events = await collectSse(response.body!);
    expect(events.at(-1)).toEqual({ data: '[DONE]' });
    expect(JSON.parse(events[0]!.data)).toMatchObject({
      object: 'chat.completion.chunk',
      choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }],
    });
  });

  it('sends no usage when scripted so, even when asked', async () => {
    fake.script('m', { usage: 'omit' });
    const body = { model: 'm', messages, stream: true, stream_options: { include_usage: true } };
    const events = await collectSse((await post(body)).body!);
    expect(events.filter(({ data }) => data.includes('"completion_tokens"'))).toEqual([]);
  });

  it('holds until released, and says how many wait', async () => {
    fake.script('m', { steps: ['a', { hold: true }, 'b'] });
    const response = await post({ model: 'm', messages, stream: true });
    await waitFor(() => fake.holding === 1);
    expect(fake.requests[0]).toMatchObject({ outcome: 'open', chunksSent: 1, status: 200 });
    fake.release();
    expect((await collectSse(response.body!)).some(({ data }) => data.includes('"b"'))).toBe(true);
    await waitFor(() => fake.requests[0]?.outcome === 'completed');
  });

  it('notes a client that leaves during a stall', async () => {
    fake.script('m', { steps: ['a', { stall: true }] });
    const response = await post({ model: 'm', messages, stream: true });
    for await (const event of readSse(response.body!)) if (event.data.includes('"a"')) break;
    await waitFor(() => fake.requests[0]?.outcome === 'aborted');
    expect(fake).toMatchObject({ concurrent: 0, peakConcurrent: 1 });
    expect(fake.requests[0]?.chunksSent).toBe(1);
  });

  it('cuts a stream in the middle', async () => {
    fake.script('m', { steps: ['a', { cut: true }] });
    const response = await post({ model: 'm', messages, stream: true });
    await expect(collectSse(response.body!)).rejects.toThrow();
    expect(fake.requests[0]).toMatchObject({ outcome: 'cut', chunksSent: 1 });
  });

  it('holds back the headers', async () => {
    fake.script('m', { holdHeaders: true });
    const answer = post({ model: 'm', messages });
    await waitFor(() => fake.holding === 1);
    expect(fake.requests[0]?.status).toBe(0);
    fake.release();
    expect((await answer).status).toBe(200);
  });

  it('sends garbage as it is told', async () => {
    fake.script('m', { steps: ['a', { raw: 'data: {"broken\n\n' }, 'b'] });
    const events = await collectSse((await post({ model: 'm', messages, stream: true })).body!);
    expect(events.map(({ data }) => data)).toContain('{"broken');
    fake.script('m', { steps: [{ raw: 'not json' }] });
    expect(await (await post({ model: 'm', messages })).text()).toBe('not json');
  });

  it('counts requests that overlap', async () => {
    fake.script('m', { steps: [{ hold: true }, 'x'] });
    const answers = [1, 2, 3].map(() => post({ model: 'm', messages }));
    await waitFor(() => fake.holding === 3);
    expect(fake.concurrent).toBe(3);
    fake.release();
    await Promise.all(answers);
    expect(fake.peakConcurrent).toBe(3);
  });
});

describe('the fake OpenAI refuses', () => {
  it.each([
    ['no bearer', { authorization: '' }, 401, null],
    ['another key', { authorization: 'Bearer sk-other' }, 401, 'invalid_api_key'],
    ['a bare key', { authorization: 'sk-other' }, 401, null],
    ['another content type', { 'content-type': 'text/plain' }, 400, null],
  ])('%s', async (_what, headers, status, code) => {
    const response = await post({ model: 'm', messages }, headers);
    expect(response.status).toBe(status);
    expect(((await response.json()) as ErrorBody).error.code).toBe(code);
  });

  it.each([
    ['an unknown field', { pool: 'cheap' }, 'pool', 'unknown_parameter'],
    [
      'an unknown stream option',
      { stream: true, stream_options: { x: 1 } },
      'stream_options.x',
      'unknown_parameter',
    ],
    [
      'stream options without a stream',
      { stream_options: { include_usage: true } },
      'stream_options',
      null,
    ],
    ['max_tokens of 0', { max_tokens: 0 }, 'max_tokens', 'integer_below_min_value'],
    ['max_tokens as a string', { max_tokens: '5' }, 'max_tokens', 'invalid_type'],
    [
      'both token limits',
      { max_tokens: 1, max_completion_tokens: 1 },
      'max_tokens',
      'invalid_parameter_combination',
    ],
    ['a temperature of 3', { temperature: 3 }, 'temperature', 'decimal_above_max_value'],
    ['no messages', { messages: [] }, 'messages', 'empty_array'],
    [
      'an unknown role',
      { messages: [{ role: 'robot', content: 'x' }] },
      'messages[0].role',
      'invalid_value',
    ],
    [
      'a message with extras',
      { messages: [{ role: 'user', content: 'x', id: 1 }] },
      'messages[0].id',
      'unknown_parameter',
    ],
    [
      'a message without content',
      { messages: [{ role: 'user' }] },
      'messages[0].content',
      'invalid_type',
    ],
    ['stream as a string', { stream: 'true' }, 'stream', 'invalid_type'],
  ])('%s', async (_what, change, param, code) => {
    const response = await post({ model: 'm', messages, ...change });
    expect(response.status).toBe(400);
    expect(((await response.json()) as ErrorBody).error).toMatchObject({ param, code });
  });

  it('an unknown model with 404 and broken JSON with 400', async () => {
    expect((await post({ model: 'other', messages })).status).toBe(404);
    expect((await post('{"model":')).status).toBe(400);
    expect((await post('[]')).status).toBe(400);
  });
});
