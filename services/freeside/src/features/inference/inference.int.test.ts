import { HEADERS } from '@arrakis/contracts';
import { collectSse, waitFor } from '@arrakis/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PROMPT_TOKENS } from './test-support/fake-finn.ts';
import { Harness, type TestKey } from './test-support/harness.ts';

let harness: Harness;
let key: TestKey;

beforeAll(async () => {
  harness = await Harness.start();
});
beforeEach(async () => {
  harness.finn.reset();
  key = await harness.openCommunity();
  await harness.addAgent(key, 'ada', { tier: 'pro', preferredPool: 'standard' });
});
afterEach(() => {
  expect(harness.finn.faults).toEqual([]);
});
afterAll(async () => {
  await harness.stop();
});

const idOf = (response: Response): string => response.headers.get('x-request-id') ?? '';

describe('a plain answer', () => {
  it('is delivered, and settled to what finn counted', async () => {
    const response = await harness.post('/api/v1/inference', key, {
      nft_id: 'ada',
      prompt: 'Hi',
      max_tokens: 64,
    });

    expect(response.status).toBe(200);
    const nftId = harness.finn.requests[0]?.claims.nft_id;
    expect(await response.json()).toEqual({
      id: idOf(response),
      content: 'Hello, world',
      usage: {
        prompt_tokens: PROMPT_TOKENS,
        completion_tokens: 2,
        total_tokens: PROMPT_TOKENS + 2,
      },
      finish_reason: 'stop',
      nft_id: nftId,
      pool: 'standard',
      personality_id: 'p-1',
    });
    expect(response.headers.get(HEADERS.poolUsed)).toBe('standard');
    expect(response.headers.get(HEADERS.personalityId)).toBe('p-1');
    expect(response.headers.get(HEADERS.contractVersion)).toBe('1.0.0');
    expect(response.headers.get('x-ratelimit-remaining')).toBe('9999');
    const row = await waitFor(async () => {
      const found = await harness.reservation(idOf(response));
      return found?.status === 'finalized' && found;
    });
    expect(row).toMatchObject({ settled_by: 'response_header', max_tokens: 64 });
    // 11 × 0.4 + 2 × 1.6 = 7.6 micro-credits, rounded up
    expect(row.charge_micro).toBe(8n);
  });
});

describe('a stream', () => {
  it('passes on the bytes of finn unchanged', async () => {
    const texts = ['data: x\n\n', '\r\n', '漢字', '\u2028', '"}', ''];
    let sent = '';
    harness.finn.next((exchange) => {
      const write = exchange.response.write.bind(exchange.response);
      exchange.response.write = ((chunk: string) => {
        sent += chunk;
        return write(chunk);
      }) as typeof exchange.response.write;
      exchange.head();
      for (const text of texts) exchange.token(text);
      exchange.done();
    });
    const response = await harness.post('/api/v1/inference', key, {
      nft_id: 'ada',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
    });

    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(await response.text()).toBe(sent);
    const row = await waitFor(async () => {
      const found = await harness.reservation(idOf(response));
      return found?.status === 'finalized' && found;
    });
    expect(row).toMatchObject({ settled_by: 'done_event' });
  });

  it('reaches the client token by token', async () => {
    const gate = Promise.withResolvers<undefined>();
    harness.finn.next(async (exchange) => {
      exchange.head().token('one');
      await gate.promise;
      exchange.token('two').done();
    });
    const response = await harness.post('/api/v1/inference', key, {
      nft_id: 'ada',
      prompt: 'Hi',
      stream: true,
    });
    const reader = response.body!.getReader();
    const first = await reader.read();
    expect(Buffer.from(first.value).toString()).toContain('one');
    gate.resolve(undefined);
    let rest = '';
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      rest += Buffer.from(read.value).toString();
    }
    expect(rest).toContain('two');
    expect(rest).toContain('"type":"done"');
  });
});

describe('OpenAI’s chat completions', () => {
  it('stream chunks with a role, contents, a finish reason and the usage', async () => {
    const response = await harness.post('/v1/chat/completions', key, {
      model: 'ada@cheap',
      messages: [
        { role: 'developer', content: 'Be brief' },
        { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
      ],
      stream: true,
      stream_options: { include_usage: true },
    });
    const events = await collectSse(response.body!);
    expect(events.at(-1)?.data).toBe('[DONE]');
    const chunks = events
      .slice(0, -1)
      .map(({ data }) => JSON.parse(data) as Record<string, unknown>);
    expect(new Set(chunks.map((chunk) => chunk.id))).toEqual(
      new Set([`chatcmpl-${idOf(response)}`]),
    );
    expect(chunks.map((chunk) => chunk.choices)).toEqual([
      [
        {
          index: 0,
          delta: { role: 'assistant', content: '', refusal: null },
          logprobs: null,
          finish_reason: null,
        },
      ],
      [{ index: 0, delta: { content: 'Hello' }, logprobs: null, finish_reason: null }],
      [{ index: 0, delta: { content: ', world' }, logprobs: null, finish_reason: null }],
      [{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }],
      [],
    ]);
    expect(chunks.at(-1)?.usage).toEqual({
      prompt_tokens: 11,
      completion_tokens: 2,
      total_tokens: 13,
    });
    expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('9999');
    expect(harness.finn.requests[0]?.body.messages).toEqual([
      { role: 'system', content: 'Be brief' },
      { role: 'user', content: 'Hi' },
    ]);
    expect(harness.finn.requests[0]?.claims.pool).toBe('cheap');
  });
});
