import { formatTokenEvent } from '@arrakis/contracts';
import { waitFor } from '@arrakis/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PROMPT_TOKENS, type Behaviour, type Exchange } from './test-support/fake-finn.ts';
import { Harness, type ReservationRow, type TestKey } from './test-support/harness.ts';

let harness: Harness;
let key: TestKey;

beforeAll(async () => {
  harness = await Harness.start({
    breaker: { failures: 1_000_000, firstHalfOpenAfterMs: 1, halfOpenAfterMs: 1 },
    finn: { totalTimeoutMs: 8_000, idleTimeoutMs: 900 },
    clientIdleTimeoutMs: 500,
  });
});
beforeEach(async () => {
  harness.finn.reset();
  harness.clock.waits.length = 0;
  harness.clock.onSleep = undefined;
  Object.assign(harness.faults, { reserve: false, settle: false, release: false });
  harness.faults.beforeReserve = undefined;
  key = await harness.openCommunity();
  await harness.addAgent(key, 'ada');
});
afterEach(() => {
  expect(harness.finn.faults).toEqual([]);
});
afterAll(async () => {
  expect(await harness.undocumentedAnswers()).toEqual([]);
  await harness.stop();
});

const TOTAL = 100_000_000n;

function ask(stream: boolean, signal?: AbortSignal): Promise<Response> {
  const body = { nft_id: 'ada', prompt: 'Hi', max_tokens: 100, stream };
  return harness.post('/api/v1/inference', key, body, signal === undefined ? {} : { signal });
}

/** The community's only reservation, once it is as wanted. */
function reservation(wanted: (row: ReservationRow) => boolean): Promise<ReservationRow> {
  return waitFor(
    async () => {
      const rows = await harness.reservations(key);
      expect(rows.length).toBeLessThanOrEqual(1);
      const [row] = rows;
      return row !== undefined && wanted(row) && row;
    },
    { what: 'the reservation reaches its state' },
  );
}

async function expectReleased(): Promise<void> {
  await reservation((row) => row.status === 'released');
  expect(await harness.balances(key)).toEqual({ available: TOTAL, held: 0n });
}

/** The stream began and no final count came: the hold waits for finn's usage event. */
async function expectLeft(tokens: number): Promise<void> {
  const row = await reservation((one) => one.relayed_completion_tokens === tokens);
  expect(row.status).toBe('streaming');
  expect((await harness.balances(key)).held).toBeGreaterThan(0n);
}

async function expectSettled(carrier: string): Promise<ReservationRow> {
  const row = await reservation((one) => one.status === 'finalized');
  expect(row.settled_by).toBe(carrier);
  const balances = await harness.balances(key);
  expect(balances).toEqual({ available: TOTAL - row.charge_micro, held: 0n });
  return row;
}

async function lastExchange(): Promise<Exchange> {
  return waitFor(() => harness.finn.requests.at(-1));
}

const silent: Behaviour = (exchange) => exchange.untilAborted();
const headOnly: Behaviour = async (exchange) => {
  exchange.head().response.flushHeaders();
  await exchange.untilAborted();
};

describe('a client that leaves', () => {
  it.each([true, false])('while its hold is decided (stream: %s) gets it back', async (stream) => {
    const gate = Promise.withResolvers<undefined>();
    const reached = Promise.withResolvers<undefined>();
    harness.faults.beforeReserve = async () => {
      reached.resolve(undefined);
      await gate.promise;
    };
    const client = new AbortController();
    const answer = ask(stream, client.signal);
    await reached.promise;
    client.abort();
    await expect(answer).rejects.toThrow();
    await waitFor(() => noConnections());
    gate.resolve(undefined);
    await expectReleased();
    expect(harness.finn.requests).toHaveLength(0);
  });

  it.each([
    ['before finn answers', true, silent],
    ['before finn answers in one piece', false, silent],
    ['between finn’s head and the first token', true, headOnly],
  ] as const)('%s gets its hold back, and finn stops', async (_when, stream, behaviour) => {
    harness.finn.next(behaviour);
    const client = new AbortController();
    const answer = ask(stream, client.signal);
    const exchange = await lastExchange();
    client.abort();
    await expect(answer).rejects.toThrow();
    await waitFor(() => exchange.aborted);
    await expectReleased();
  });

  it('during a wait between attempts gets its hold back', async () => {
    harness.finn.next((exchange) => exchange.refuse('inference_failed'));
    const client = new AbortController();
    harness.clock.onSleep = async () => {
      client.abort();
      await waitFor(() => noConnections());
    };
    await expect(ask(true, client.signal)).rejects.toThrow();
    await expectReleased();
    expect(harness.finn.requests).toHaveLength(1);
  });

  it('in the middle of a stream leaves its hold to finn’s count, and finn stops', async () => {
    harness.finn.next(async (exchange) => {
      exchange.head().token('one').token('two');
      await exchange.untilAborted();
    });
    const client = new AbortController();
    const response = await ask(true, client.signal);
    await response.body!.getReader().read();
    const exchange = await lastExchange();
    client.abort();
    await waitFor(() => exchange.aborted);
    await expectLeft(2);
  });

  it('and does not read is cut off, and finn was slowed down meanwhile', async () => {
    let written = 0;
    harness.finn.next(async (exchange) => {
      exchange.head();
      const text = 'x'.repeat(64 * 1024);
      while (!exchange.response.destroyed && written < 2_000) {
        exchange.token(text);
        written += 1;
        if (exchange.response.writableNeedDrain) await exchange.untilDrained();
      }
    });
    const response = await ask(true);
    await response.body!.getReader().read();
    const exchange = await lastExchange();
    await waitFor(() => exchange.aborted);
    expect(written).toBeLessThan(2_000);
    await reservation((row) => row.status === 'streaming' && row.relayed_completion_tokens > 0);
  });
});

describe('a finn that fails', () => {
  const unavailable: Behaviour = (exchange) => exchange.refuse('inference_failed');
  const cut: Behaviour = (exchange) => exchange.cut();

  it.each([true, false])(
    'thrice is reported, and the hold released (stream: %s)',
    async (stream) => {
      harness.finn.next(unavailable, cut, unavailable);
      const response = await ask(stream);
      expect(response.status).toBe(503);
      expect(response.headers.get('content-type')).toBe('application/problem+json');
      expect(response.headers.get('retry-after')).toMatch(/^\d+$/);
      expect(response.headers.get('x-ratelimit-remaining')).toBe('9999');
      expect(await response.json()).toMatchObject({ code: 'inference_unavailable' });
      await expectReleased();
      expect(harness.clock.waits).toEqual([1_000, 2_000]);
      const claims = harness.finn.requests.map((exchange) => exchange.claims);
      expect(new Set(claims.map((claim) => claim.jti)).size).toBe(3);
      expect(new Set(claims.map((claim) => claim.budget_reservation_id)).size).toBe(1);
    },
  );

  it.each([true, false])('once is tried again under the same hold (stream: %s)', async (stream) => {
    harness.finn.next(cut);
    const response = await ask(stream);
    expect(response.status).toBe(200);
    await response.text();
    await expectSettled(stream ? 'done_event' : 'response_header');
  });

  it('after it ran is not asked twice: its 409 ends the request', async () => {
    harness.finn.next(async (exchange) => {
      exchange.head().response.flushHeaders();
      await new Promise((resolve) => setImmediate(resolve));
      exchange.cut();
    });
    const response = await ask(true);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: 'inference_unavailable' });
    expect(harness.finn.requests).toHaveLength(2);
    await expectReleased();
  });

  it('by refusing us is not asked again, and the client learns nothing of it', async () => {
    harness.finn.next((exchange) => exchange.refuse('invalid_token'));
    const response = await ask(true);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: 'inference_failed' });
    expect(harness.finn.requests).toHaveLength(1);
    await expectReleased();
  });

  it('to serve what the client asked says so', async () => {
    harness.finn.next((exchange) => exchange.refuse('unprocessable'));
    const response = await ask(false);
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({ code: 'unprocessable' });
    await expectReleased();
  });

  it('with an error before the first token is answered by a status', async () => {
    harness.finn.next((exchange) => exchange.head().error().end());
    const response = await ask(true);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: 'inference_failed' });
    await expectReleased();
  });

  it.each<[string, Behaviour]>([
    ['nonsense', (exchange) => void exchange.head().response.end('{"content":7}')],
    ['no JSON', (exchange) => void exchange.head().response.end('oops')],
    [
      'another type',
      (exchange) => void exchange.head({ 'content-type': 'text/html' }).response.end('x'),
    ],
    [
      'half an answer',
      (exchange) => {
        exchange.head().response.write('{"content"');
        exchange.cut();
      },
    ],
  ])('with %s instead of an answer is not paid', async (_what, behaviour) => {
    harness.finn.next(behaviour);
    const response = await ask(false);
    expect(response.status).toBe(503);
    await response.json();
    await expectReleased();
  });

  it('by silence before the first byte is given up, tried again, and not paid', async () => {
    harness.finn.fallback = silent;
    const response = await ask(true);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: 'inference_unavailable' });
    expect(harness.finn.requests.length).toBe(3);
    await expectReleased();
  });
});

describe('a stream that breaks off', () => {
  const events = (text: string): { type: string }[] =>
    text
      .split('\n')
      .filter((line) => line.startsWith('data: '))
      .map((line) => JSON.parse(line.slice(6)) as { type: string });

  it.each<[string, Behaviour]>([
    [
      'by a lost connection',
      async (exchange) => {
        exchange.head().token('one').token('two');
        await exchange.write('id: 3\ndata: {"type":"tok');
        exchange.cut();
      },
    ],
    [
      'by silence',
      async (exchange) => {
        exchange.head().token('one').token('two');
        await exchange.untilAborted();
      },
    ],
    [
      'by an end without an end',
      (exchange) => void exchange.head().token('one').token('two').response.end(),
    ],
    [
      'by a done event that is none',
      (exchange) => {
        exchange
          .head()
          .token('one')
          .token('two')
          .response.write('data: {"type":"done","usage":{}}\n\n');
      },
    ],
  ])('%s ends with an error event and waits for finn’s count', async (_how, behaviour) => {
    harness.finn.next(behaviour);
    const response = await ask(true);
    const seen = events(await response.text());
    expect(seen.map((event) => event.type).filter((type) => type !== 'done')).toEqual([
      'token',
      'token',
      'error',
    ]);
    expect(seen.at(-1)).toMatchObject({ error: { code: 'inference_failed', status: 503 } });
    await expectLeft(2);
  });

  it('with finn’s own error and its trailer is settled to that count', async () => {
    harness.finn.next((exchange) => exchange.head().token('one').token('two').error().end());
    const response = await ask(true);
    expect(events(await response.text()).map((event) => event.type)).toEqual([
      'token',
      'token',
      'error',
    ]);
    const row = await expectSettled('response_header');
    // 11 prompt tokens and 2 of the answer in the cheap pool: 1.65 + 1.2
    expect(row.charge_micro).toBe(3n);
    expect(PROMPT_TOKENS).toBe(11);
  });

  it('with the trailer alone is settled to that count', async () => {
    harness.finn.next((exchange) => exchange.head().token('one').end());
    await (await ask(true)).text();
    await expectSettled('response_header');
  });

  it('tells OpenAI’s clients as OpenAI does', async () => {
    harness.finn.next(async (exchange) => {
      await exchange.head().write(formatTokenEvent('one', 1));
      exchange.cut();
    });
    const response = await harness.post('/v1/chat/completions', key, {
      model: 'ada',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
    });
    const text = await response.text();
    expect(text).not.toContain('[DONE]');
    const last = text.trimEnd().split('\n\n').at(-1) ?? '';
    expect(JSON.parse(last.slice('data: '.length))).toMatchObject({
      error: { type: 'server_error', code: 'inference_failed' },
    });
    await expectLeft(1);
  });
});

describe('a ledger that cannot be reached', () => {
  it('refuses the request and leaves no hold', async () => {
    harness.faults.reserve = true;
    const response = await ask(true);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ code: 'service_unavailable' });
    expect(await harness.reservations(key)).toEqual([]);
    expect(harness.finn.requests).toHaveLength(0);
  });

  it('after the delivery does not touch the client, and is settled once it is back', async () => {
    harness.faults.settle = true;
    const response = await ask(true);
    expect(await response.text()).toContain('"type":"done"');
    await waitFor(
      async () =>
        (await harness.metric('freeside_ledger_retries_total', {
          operation: 'settle',
          outcome: 'deferred',
        })) > 0,
    );
    expect((await harness.balances(key)).held).toBeGreaterThan(0n);
    harness.faults.settle = false;
    await expectSettled('done_event');
  });

  it('when nothing was delivered gets the hold back once it is there again', async () => {
    harness.faults.release = true;
    harness.finn.next((exchange) => exchange.refuse('invalid_token'));
    const response = await ask(true);
    expect(response.status).toBe(503);
    expect((await harness.balances(key)).held).toBeGreaterThan(0n);
    harness.faults.release = false;
    await expectReleased();
  });
});

describe('a prompt that only a real count lets in', () => {
  it('is held by the count when the bound alone would be refused', async () => {
    const poor = await harness.openCommunity({ micro: 1_200n });
    await harness.addAgent(poor, 'ada');
    const prompt = 'The quick brown fox jumps over the lazy dog. '.repeat(200);
    const response = await harness.post('/api/v1/inference', poor, {
      nft_id: 'ada',
      prompt,
      max_tokens: 100,
    });
    expect(response.status).toBe(200);
    const [row] = await harness.reservations(poor);
    expect(row?.prompt_tokens).toBeLessThan(Buffer.byteLength(prompt) / 2);
    expect(row?.prompt_tokens).toBeGreaterThan(2_000);
  });
});

async function noConnections(): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  harness.app.server.getConnections((error, count) => {
    if (error) reject(error);
    else resolve(count);
  });
  return (await promise) === 0;
}
