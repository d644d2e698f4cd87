import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import type { InferenceResponse, Problem, StreamEvent } from '@arrakis/contracts';
import { collectSse, readSse, waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  COMMUNITY_ID,
  MODEL,
  NFTS,
  startFinn,
  vendorTarget,
  type TestFinn,
} from '../../test-support/start-finn.ts';
import { streamAnswer } from '../../test-support/stream-answer.ts';
import { pieces } from '../../test-support/vendor-pieces.ts';

let finn: TestFinn;
beforeAll(async () => {
  finn = await startFinn();
});
afterAll(() => finn.close());
beforeEach(() => {
  finn.vendor.clear();
  finn.vendor.script(MODEL, {});
});

const stream = (body: object, claims: Record<string, unknown> = {}) =>
  streamAnswer(finn, body, claims);

const messagesSeen = () =>
  (finn.vendor.requests.at(-1)?.body as { messages: { role: string; content: string }[] }).messages;

describe('a streamed answer', () => {
  test('carries the head, each token with its count, the done event and the trailer', async () => {
    const reservation = randomUUID();
    const { response, raw, text, last } = await stream(
      { prompt: 'Hello' },
      { budget_reservation_id: reservation },
    );
    expect(response.statusCode).toBe(200);
    expect(response.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'x-pool-used': 'cheap',
      'x-request-id': reservation,
      'x-contract-version': '1.0.0',
      'x-personality-id': expect.stringMatching(/^[0-9a-f]{16}$/) as string,
      'x-prompt-tokens': expect.stringMatching(/^[1-9]\d*$/) as string,
      trailer: 'x-token-count',
    });
    expect(text).toBe('Hello from a fake model.');
    expect(raw.slice(0, -1).map((event) => event.id)).toEqual(['1', '2', '3', '4', '5', '6']);
    expect(last).toMatchObject({ type: 'done', finish_reason: 'stop' });
    expect(last).toMatchObject({ usage: { completion_tokens: 6 } });
    expect(response.trailers).toEqual({ 'x-token-count': '6' });
  });

  test('reports its usage to JetStream under the reservation', async () => {
    const reservation = randomUUID();
    const { last } = await stream({ prompt: 'Hi' }, { budget_reservation_id: reservation });
    const usage = last.type === 'done' ? last.usage : undefined;
    expect(await finn.usageOf(reservation)).toMatchObject({
      budget_reservation_id: reservation,
      community_id: COMMUNITY_ID,
      nft_id: NFTS.stoic,
      prompt_tokens: usage?.prompt_tokens,
      completion_tokens: 6,
      tokens_used: usage?.total_tokens,
      model: MODEL,
      pool_used: 'cheap',
      finality: 'final',
    });
  });

  test('delivers whatever a token contains byte for byte', async () => {
    const steps = ['\n\n', '\r', 'data: x\n\n', '\u{1f600}', '\u2028', '{"type":"done"}', '  '];
    finn.vendor.script(MODEL, { steps });
    expect((await stream({ prompt: 'x' })).text).toBe(steps.join(''));
  });

  test('joins what arrives at once into few writes', async () => {
    const token = await finn.token();
    finn.vendor.script(MODEL, { steps: Array.from({ length: 200 }, (_, n) => `${n} `) });
    const chunks = await rawChunks(token, { prompt: 'x', stream: true, max_tokens: 300 });
    expect(chunks.text).toContain('199 ');
    expect(chunks.httpChunks).toBeLessThan(100);
  });

  test('with no text at all is still an answer', async () => {
    finn.vendor.script(MODEL, { steps: [] });
    const { response, events } = await stream({ prompt: 'x' });
    expect(response.statusCode).toBe(200);
    expect(events).toMatchObject([{ type: 'done', usage: { completion_tokens: 0 } }]);
  });

  test('is counted by us when the vendor reports no usage', async () => {
    finn.vendor.script(MODEL, { steps: ['Hello there, ', 'General Kenobi!'], usage: 'omit' });
    const { last, response } = await stream({ prompt: 'x' });
    const usage = last.type === 'done' ? last.usage : undefined;
    expect(usage?.completion_tokens).toBeGreaterThan(3);
    expect(usage?.prompt_tokens).toBe(Number(response.headers['x-prompt-tokens']));
  });

  test('never counts more than was asked for, nor nothing where there was something', async () => {
    finn.vendor.script(MODEL, { usage: { completionTokens: 5000 } });
    expect((await stream({ prompt: 'x', max_tokens: 10 })).last).toMatchObject({
      usage: { completion_tokens: 10 },
    });
    finn.vendor.script(MODEL, { usage: { completionTokens: 0 } });
    expect((await stream({ prompt: 'x', max_tokens: 10 })).last).toMatchObject({
      usage: { completion_tokens: 1 },
    });
  });

  test('ends at max_tokens even if the vendor goes on, and the vendor is cut off', async () => {
    const words = Array.from({ length: 20 }, (_, index) => `t${index} `);
    finn.vendor.script(MODEL, { steps: [...pieces(words), { stall: true }] });
    const { text, last } = await stream({ prompt: 'x', max_tokens: 5 });
    expect(text).toBe('t0 t1 t2 t3 t4 ');
    expect(last).toMatchObject({ type: 'done', finish_reason: 'length' });
    expect(last).toMatchObject({ usage: { completion_tokens: 5 } });
    await waitFor(() => finn.vendor.requests.at(-1)?.outcome === 'aborted');
  });
});

describe('a plain answer', () => {
  test('carries text, usage and the token count as a header', async () => {
    const reservation = randomUUID();
    const response = await finn.infer(
      { prompt: 'Hello', stream: false },
      { claims: { budget_reservation_id: reservation } },
    );
    expect(response.statusCode).toBe(200);
    expect(response.headers['x-token-count']).toBe('6');
    expect(response.headers['x-request-id']).toBe(reservation);
    const body = (await response.body.json()) as InferenceResponse;
    expect(body).toMatchObject({ content: 'Hello from a fake model.', finish_reason: 'stop' });
    expect(body.usage.completion_tokens).toBe(6);
    expect(await finn.usageOf(reservation)).toMatchObject({ completion_tokens: 6 });
  });

  test('that its caller did not wait for delivers nothing and counts nothing', async () => {
    const reservation = randomUUID();
    finn.vendor.script(MODEL, { steps: ['much ', { stall: true }] });
    const firstTokens = () =>
      finn.metric('finn_time_to_first_token_seconds_count', { pool: 'cheap' });
    const before = await firstTokens();
    const abort = new AbortController();
    const call = finn.infer(
      { prompt: 'x', stream: false },
      { claims: { budget_reservation_id: reservation }, signal: abort.signal },
    );
    await waitFor(async () => (await firstTokens()) > before);
    abort.abort();
    await expect(call).rejects.toThrow();
    await waitFor(() => finn.vendor.requests.at(-1)?.outcome === 'aborted');
    expect(await finn.usageOf(reservation)).toMatchObject({ tokens_used: 0 });
  });
});

describe('a caller that leaves', () => {
  test('ends the vendor call, and pays for what was written', async () => {
    const reservation = randomUUID();
    finn.vendor.script(MODEL, { steps: ['one ', 'two ', 'three ', { stall: true }] });
    const response = await finn.infer(
      { prompt: 'x', stream: true },
      { claims: { budget_reservation_id: reservation } },
    );
    let seen = '';
    for await (const event of readSse(response.body)) {
      seen += (JSON.parse(event.data) as { content: string }).content;
      if (seen === 'one two three ') break;
    }
    response.body.destroy();
    await waitFor(() => finn.vendor.requests.at(-1)?.outcome === 'aborted');
    const usage = await finn.usageOf(reservation);
    expect(usage.completion_tokens).toBeGreaterThanOrEqual(3);
    expect(usage.completion_tokens).toBeLessThanOrEqual(5);
    expect(usage.prompt_tokens).toBeGreaterThan(0);
  });

  test('before anything was said leaves no usage, and a reservation that may be used again', async () => {
    const reservation = randomUUID();
    finn.vendor.script(MODEL, { steps: [{ stall: true }] });
    const abort = new AbortController();
    const call = finn.infer(
      { prompt: 'x', stream: true },
      { claims: { budget_reservation_id: reservation }, signal: abort.signal },
    );
    await waitFor(() => finn.vendor.requests.length === 1);
    abort.abort();
    await expect(call).rejects.toThrow();
    await waitFor(() => finn.vendor.requests.at(-1)?.outcome === 'aborted');

    finn.vendor.script(MODEL, {});
    const retried = await waitFor(async () => {
      const attempt = await stream({ prompt: 'x' }, { budget_reservation_id: reservation });
      return attempt.response.statusCode === 200 ? attempt : undefined;
    });
    expect(retried.text).toBe('Hello from a fake model.');
    const usage = await finn.usageOf(reservation);
    expect(usage.completion_tokens).toBe(6);
    expect(
      finn.usageEvents.filter((event) => event.budget_reservation_id === reservation),
    ).toHaveLength(1);
  });
});

describe('a vendor that fails', () => {
  test('midway ends the stream with an error event, and what was delivered is counted', async () => {
    const reservation = randomUUID();
    finn.vendor.script(MODEL, { steps: ['one ', 'two ', { waitMs: 20 }, { cut: true }] });
    const { response, events, last } = await stream(
      { prompt: 'x' },
      { budget_reservation_id: reservation },
    );
    expect(events.filter((event) => event.type === 'token')).toHaveLength(2);
    expect(last).toMatchObject({
      type: 'error',
      error: { code: 'inference_failed', status: 503, requestId: reservation },
    });
    const usage = await finn.usageOf(reservation);
    expect(usage.completion_tokens).toBeGreaterThanOrEqual(2);
    expect(response.trailers).toEqual({ 'x-token-count': String(usage.completion_tokens) });
  });

  test('before the first token is a plain problem, and the reservation is free again', async () => {
    const reservation = randomUUID();
    finn.vendor.script(MODEL, { status: 500, errorMessage: 'sk-very-secret' }, {});
    const first = await finn.infer(
      { prompt: 'x', stream: true },
      { claims: { budget_reservation_id: reservation } },
    );
    const text = await first.body.text();
    expect(first.statusCode).toBe(503);
    expect(first.headers['content-type']).toBe('application/problem+json');
    expect(JSON.parse(text)).toMatchObject({ code: 'inference_failed', requestId: reservation });
    expect(text).not.toContain('secret');
    expect(JSON.stringify(finn.lines)).not.toContain('sk-very-secret');

    const second = await stream({ prompt: 'x' }, { budget_reservation_id: reservation });
    expect(second.response.statusCode).toBe(200);
    expect((await finn.usageOf(reservation)).completion_tokens).toBe(6);
  });

  test('is not asked elsewhere when it refuses the request itself', async () => {
    finn.vendor.script(MODEL, { status: 400 });
    const response = await finn.infer({ prompt: 'x', stream: true });
    expect(response.statusCode).toBe(422);
    expect(await response.body.json()).toMatchObject({ code: 'unprocessable' });
    expect(finn.vendor.requests.filter(({ method }) => method === 'POST')).toHaveLength(1);
  });
});

describe('personality and routing', () => {
  test('two agents of different tiers get different pools, personalities and tones', async () => {
    const dear = await stream(
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Who?' },
        ],
      },
      { nft_id: NFTS.stoic, tier: 'enterprise' },
    );
    const [personality, own] = messagesSeen();
    expect(own).toEqual({ role: 'system', content: 'Be brief.' });
    expect(personality?.content).toContain('"Muad"');
    expect(personality?.content).toMatch(/calm and sparse/);
    expect(personality?.content).toContain('"patience"');

    const cheap = await stream({ prompt: 'Who?' }, { nft_id: NFTS.playful, tier: 'free' });
    expect(messagesSeen()[0]?.content).toMatch(/playful: joke/);
    expect(dear.response.headers['x-pool-used']).toBe('architect');
    expect(cheap.response.headers['x-pool-used']).toBe('cheap');
    expect(cheap.response.headers['x-personality-id']).not.toBe(
      dear.response.headers['x-personality-id'],
    );
  });

  test.each([
    ['of another community', NFTS.foreign],
    ['that is not active', NFTS.inactive],
    ['that does not exist', '1:0x00000000000000000000000000000000000000ff:1'],
  ])('an agent %s is not found', async (_what, nftId) => {
    const response = await finn.infer({ prompt: 'x', stream: true }, { claims: { nft_id: nftId } });
    expect(response.statusCode).toBe(404);
    const body = (await response.body.json()) as Problem;
    expect(body).toMatchObject({ code: 'agent_not_found', title: 'No such agent' });
    expect(body.detail).toBeUndefined();
  });

  test('a pool outside the tier is refused', async () => {
    const response = await finn.infer(
      { prompt: 'x', stream: true },
      { claims: { tier: 'free', pool: 'flagship' } },
    );
    expect(response.statusCode).toBe(403);
  });
});

describe('single use', () => {
  test('of a token: the second time it is not valid', async () => {
    const token = await finn.token();
    const first = await finn.infer({ prompt: 'x', stream: true }, { token });
    await first.body.dump();
    const second = await finn.infer({ prompt: 'x', stream: true }, { token });
    expect(second.statusCode).toBe(401);
    expect(second.headers['x-contract-version']).toBe('1.0.0');
    expect(await second.body.json()).toMatchObject({ code: 'invalid_token' });
  });

  test('of a reservation: one of many runs, and exactly one usage event is reported', async () => {
    const reservation = randomUUID();
    const calls = Array.from({ length: 8 }, async () => {
      const response = await finn.infer(
        { prompt: 'x', stream: true },
        { claims: { budget_reservation_id: reservation } },
      );
      await response.body.dump();
      return response.statusCode;
    });
    const statuses = (await Promise.all(calls)).sort();
    expect(statuses).toEqual([200, ...Array.from({ length: 7 }, () => 409)]);
    await finn.usageOf(reservation);
    expect(finn.vendor.requests.filter(({ method }) => method === 'POST')).toHaveLength(1);
  });
});

describe('targets and pools', () => {
  test('the next target, then the next cheaper pool, answers for one that fails', async () => {
    const other = await startFinn({
      targets: (vendor) => ({
        cheap: [vendorTarget(vendor, 'good', 'good')],
        standard: [vendorTarget(vendor, 'bad-1', 'bad-1'), vendorTarget(vendor, 'bad-2', 'bad-2')],
        reasoning: [vendorTarget(vendor, 'r', 'bad-1')],
        architect: [vendorTarget(vendor, 'a', 'bad-1')],
        flagship: [vendorTarget(vendor, 'f', 'bad-1')],
      }),
    });
    try {
      other.vendor.script('good', {});
      other.vendor.script('bad-1', { status: 503 });
      other.vendor.script('bad-2', { status: 401 });
      const claims = { tier: 'standard', pool: 'standard' };
      const response = await other.infer({ prompt: 'x', stream: true }, { claims });
      expect(response.statusCode).toBe(200);
      expect(response.headers['x-pool-used']).toBe('cheap');
      await response.body.dump();
      const asked = other.vendor.requests.flatMap(({ model }) => model ?? []);
      expect(asked).toEqual(['bad-1', 'bad-2', 'good']);
    } finally {
      await other.close();
    }
  });

  test('a target that failed three times is left alone; with none left the caller is told when to return', async () => {
    const other = await startFinn({
      targets: (vendor) => {
        const only = [vendorTarget(vendor, 'only')];
        return { cheap: only, standard: only, reasoning: only, architect: only, flagship: only };
      },
    });
    try {
      other.vendor.script(MODEL, { status: 500 });
      for (let time = 0; time < 3; time += 1) {
        const failed = await other.infer({ prompt: 'x', stream: true });
        expect(failed.statusCode).toBe(503);
        expect(await failed.body.json()).toMatchObject({ code: 'inference_failed' });
      }
      other.vendor.clear();
      const reservation = randomUUID();
      const refused = await other.infer(
        { prompt: 'x', stream: true },
        { claims: { budget_reservation_id: reservation } },
      );
      expect(refused.statusCode).toBe(503);
      expect(await refused.body.json()).toMatchObject({ code: 'inference_unavailable' });
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(20);
      expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(30);
      expect(other.vendor.requests).toHaveLength(0);
      expect(await other.metric('finn_breaker_state', { target: 'only' })).toBe(2);
      await expect(other.context.checks.pools()).rejects.toThrow();
    } finally {
      await other.close();
    }
  });
});

describe('limits of time and space', () => {
  test('a silent vendor is given up, midway with an error event', async () => {
    const other = await startFinn({ idleTimeoutMs: 1_000, totalTimeoutMs: 1_500 });
    try {
      other.vendor.script(MODEL, { steps: ['one ', { stall: true }] });
      const response = await other.infer({ prompt: 'x', stream: true });
      const events = await collectSse(response.body);
      expect(JSON.parse(events.at(-1)!.data)).toMatchObject({ type: 'error' });
      other.vendor.script(MODEL, { steps: [{ stall: true }] });
      const nothing = await other.infer({ prompt: 'x', stream: true });
      expect(nothing.statusCode).toBe(503);
      expect(await nothing.body.json()).toMatchObject({ code: 'inference_failed' });
    } finally {
      await other.close();
    }
  });

  test('a full spool refuses before the vendor is asked, and uses nothing up', async () => {
    const other = await startFinn({ spoolMaxBytes: 1 });
    try {
      const claims = { budget_reservation_id: randomUUID() };
      for (let time = 0; time < 2; time += 1) {
        const response = await other.infer({ prompt: 'x', stream: true }, { claims });
        expect(response.statusCode).toBe(503);
        expect(await response.body.json()).toMatchObject({ code: 'service_unavailable' });
      }
      expect(other.vendor.requests.filter(({ method }) => method === 'POST')).toHaveLength(0);
    } finally {
      await other.close();
    }
  });

  test('a reader that comes late loses nothing', async () => {
    // Long tokens: more than a megabyte, and yet within what was asked for.
    const steps = Array.from({ length: 120 }, (_, n) => `${n}`.padEnd(10 * 1024, '-'));
    finn.vendor.script(MODEL, { steps });
    const response = await finn.infer({ prompt: 'x', stream: true, max_tokens: 32_768 });
    const events = await collectSse(response.body);
    const text = events
      .map((event) => JSON.parse(event.data) as StreamEvent)
      .map((event) => (event.type === 'token' ? event.content : ''))
      .join('');
    // Not `toBe`: the difference of two such texts fills the screen.
    expect(text === steps.join('')).toBe(true);
  });
});

/** Talks HTTP by hand, to see the chunks of the transfer encoding. */
async function rawChunks(
  token: string,
  body: object,
): Promise<{ text: string; httpChunks: number }> {
  const { hostname, port } = new URL(finn.url);
  const payload = JSON.stringify(body);
  const socket = connect(Number(port), hostname);
  socket.write(
    `POST /api/v1/inference HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${token}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(payload)}\r\n\r\n${payload}`,
  );
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return { text, httpChunks: text.match(/\r\n[0-9a-f]+\r\n/g)?.length ?? 0 };
}
