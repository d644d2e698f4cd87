import OpenAI, {
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  UnprocessableEntityError,
} from 'openai';
import { formatTokenEvent } from '@arrakis/contracts';
import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Harness, type TestKey } from './test-support/harness.ts';

let harness: Harness;
let key: TestKey;
let client: OpenAI;

const clientOf = (apiKey: string, maxRetries = 0): OpenAI =>
  new OpenAI({ apiKey, baseURL: `${harness.url}/v1`, maxRetries });

beforeAll(async () => {
  harness = await Harness.start({
    breaker: { failures: 1_000, firstHalfOpenAfterMs: 1, halfOpenAfterMs: 1 },
  });
  key = await harness.openCommunity();
  await harness.addAgent(key, 'ada', { tier: 'pro' });
  client = clientOf(key.cleartext);
});
beforeEach(() => {
  harness.finn.reset();
});
afterAll(async () => {
  expect(harness.finn.faults).toEqual([]);
  await harness.stop();
});

const messages = [{ role: 'user' as const, content: 'Hi' }];

describe('the openai package', () => {
  it('gets a completion', async () => {
    const { data, request_id } = await client.chat.completions
      .create({ model: 'ada', messages, max_completion_tokens: 50 })
      .withResponse();
    expect(data.choices[0]?.message.content).toBe('Hello, world');
    expect(data.choices[0]?.finish_reason).toBe('stop');
    expect(data.usage).toEqual({ prompt_tokens: 11, completion_tokens: 2, total_tokens: 13 });
    expect(data.id).toBe(`chatcmpl-${request_id ?? ''}`);
    expect(data.model).toBe('ada');
    const row = await waitFor(async () => {
      const found = await harness.reservation(request_id ?? '');
      return found?.status === 'finalized' && found;
    });
    expect(row.charge_micro).toBeGreaterThan(0n);
  });

  it('gets a stream with its usage', async () => {
    const stream = await client.chat.completions.create({
      model: 'ada@standard',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: unknown;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe('Hello, world');
    expect(usage).toEqual({ prompt_tokens: 11, completion_tokens: 2, total_tokens: 13 });
    expect(harness.finn.requests[0]?.claims.pool).toBe('standard');
  });

  it('assembles a stream with its own helper', async () => {
    const final = await client.chat.completions
      .stream({ model: 'ada', messages })
      .finalChatCompletion();
    expect(final.choices[0]?.message).toMatchObject({ role: 'assistant', content: 'Hello, world' });
  });

  it('may send every parameter at its neutral value', async () => {
    const completion = await client.chat.completions.create({
      model: 'ada',
      messages: [
        { role: 'developer', content: 'Be brief' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
          name: 'x',
        },
        { role: 'assistant', content: 'c' },
        { role: 'user', content: 'd' },
      ],
      n: 1,
      temperature: 1,
      top_p: 1,
      presence_penalty: 0,
      frequency_penalty: 0,
      logprobs: false,
      stop: null,
      store: false,
      metadata: {},
      tools: [],
      tool_choice: 'auto',
      response_format: { type: 'text' },
      stream: false,
      safety_identifier: 'someone',
    });
    expect(completion.choices).toHaveLength(1);
    expect(harness.finn.requests[0]?.body.messages).toEqual([
      { role: 'system', content: 'Be brief' },
      { role: 'user', content: 'ab' },
      { role: 'assistant', content: 'c' },
      { role: 'user', content: 'd' },
    ]);
  });

  it('lists and retrieves models', async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    expect(ids).toEqual(['ada', 'ada@cheap', 'ada@standard', 'ada@reasoning']);
    const model = await client.models.retrieve('ada@cheap');
    expect(model).toMatchObject({ id: 'ada@cheap', object: 'model', owned_by: key.communityId });
  });

  it.each([
    ['a wrong key', AuthenticationError, () => clientOf('lf_live_nothing').models.list()],
    [
      'an unknown model',
      NotFoundError,
      () => client.chat.completions.create({ model: 'x', messages }),
    ],
    [
      'a pool beyond the tier',
      PermissionDeniedError,
      () => client.chat.completions.create({ model: 'ada@flagship', messages }),
    ],
    [
      'a blank message',
      BadRequestError,
      () =>
        client.chat.completions.create({
          model: 'ada',
          messages: [{ role: 'user', content: ' ' }],
        }),
    ],
    [
      'a temperature',
      UnprocessableEntityError,
      () => client.chat.completions.create({ model: 'ada', messages, temperature: 0 }),
    ],
  ] as const)('throws its own error for %s', async (_what, kind, call) => {
    const error: unknown = await call().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(kind);
    expect((error as APIError).requestID).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('throws for an exhausted limit, with our detail', async () => {
    const slow = await harness.openCommunity({ rpm: 1 });
    await harness.addAgent(slow, 'ada');
    const limited = clientOf(slow.cleartext);
    await limited.chat.completions.create({ model: 'ada', messages });
    const error: unknown = await limited.chat.completions
      .create({ model: 'ada', messages })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RateLimitError);
    expect((error as RateLimitError).error).toMatchObject({
      limit: { limit: 'requests_per_minute' },
    });
  });

  it('comes back by itself after a 503, under a hold of its own', async () => {
    harness.finn.next((exchange) => exchange.refuse('invalid_token'));
    const completion = await clientOf(key.cleartext, 1).chat.completions.create({
      model: 'ada',
      messages,
    });
    expect(completion.choices[0]?.message.content).toBe('Hello, world');
    const ids = harness.finn.requests.map((exchange) => exchange.claims.budget_reservation_id);
    expect(new Set(ids).size).toBe(2);
    expect((await harness.reservation(ids[0] ?? ''))?.status).toBe('released');
  }, 20_000);

  it('throws for a finn that is away', async () => {
    harness.finn.fallback = (exchange) => exchange.refuse('inference_failed');
    await expect(client.chat.completions.create({ model: 'ada', messages })).rejects.toBeInstanceOf(
      InternalServerError,
    );
  });

  it('throws in the middle of a stream that breaks off', async () => {
    harness.finn.next(async (exchange) => {
      await exchange.head().write(formatTokenEvent('one', 1));
      exchange.cut();
    });
    const stream = await client.chat.completions.create({ model: 'ada', messages, stream: true });
    let text = '';
    const reading = (async () => {
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
    })();
    await expect(reading).rejects.toBeInstanceOf(APIError);
    expect(text).toBe('one');
  });

  it('stops finn when it is aborted', async () => {
    harness.finn.next(async (exchange) => {
      exchange.head().token('one');
      await exchange.untilAborted();
    });
    const stream = await client.chat.completions.create({ model: 'ada', messages, stream: true });
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content === 'one') break;
    }
    await waitFor(() => harness.finn.requests[0]?.aborted);
  });
});
