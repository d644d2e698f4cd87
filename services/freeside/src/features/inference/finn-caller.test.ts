import { describe, expect, it } from 'vitest';
import type { FinnAttempt, FinnRequest } from './finn-attempt.ts';
import { FinnBreakers, type BreakerState } from './finn-breaker.ts';
import { FinnCaller, type FinnCall, type FinnCallResult } from './finn-caller.ts';

const LOST: FinnAttempt = {
  kind: 'unavailable',
  reason: 'connection_lost',
  retryAfterSeconds: undefined,
};
const CONFUSED: FinnAttempt = { ...LOST, reason: 'protocol_error' };
const STREAMING = { kind: 'streaming' } as FinnAttempt;
const refusal = (code: 'reservation_used' | 'unprocessable'): FinnAttempt => ({
  kind: 'refused',
  status: 409,
  code,
  detail: undefined,
});

/** A caller in front of scripted attempts, under a clock that only the waits move. */
function setUp(script: FinnAttempt[], options: { failures?: number; attemptMs?: number } = {}) {
  let nowMs = 0;
  const requests: FinnRequest[] = [];
  const waits: number[] = [];
  const states: BreakerState[] = [];
  const breakers = new FinnBreakers({
    failures: options.failures ?? 100,
    firstHalfOpenAfterMs: 500,
    halfOpenAfterMs: 8_000,
    onStateChange: (_pool, state) => states.push(state),
  });
  const caller = new FinnCaller({
    client: {
      attempt(request) {
        requests.push(request);
        nowMs += options.attemptMs ?? 0;
        return Promise.resolve(script.shift() ?? STREAMING);
      },
    },
    breakers,
    totalTimeoutMs: 60_000,
    onAttempt: () => undefined,
    clock: {
      nowMs: () => nowMs,
      random: () => 0.5,
      sleep(ms) {
        waits.push(ms);
        nowMs += ms;
        return Promise.resolve();
      },
    },
  });
  let signed = 0;
  const call = (change: Partial<FinnCall> = {}): Promise<FinnCallResult> =>
    caller.call({
      requestId: 'r',
      pool: 'cheap',
      body: { prompt: 'x', stream: true },
      sign: () => `token-${(signed += 1)}`,
      signal: new AbortController().signal,
      ...change,
    });
  return { call, requests, waits, states };
}

describe('a call to finn', () => {
  it('is made once when it succeeds', async () => {
    const { call, requests, waits } = setUp([STREAMING]);
    expect((await call()).kind).toBe('streaming');
    expect(requests).toHaveLength(1);
    expect(waits).toEqual([]);
  });

  it('is made thrice at most, after one and two seconds, each time with a fresh token', async () => {
    const { call, requests, waits } = setUp([LOST, LOST, LOST, STREAMING]);
    expect(await call()).toEqual(LOST);
    expect(waits).toEqual([1_000, 2_000]);
    expect(requests.map((request) => request.token)).toEqual(['token-1', 'token-2', 'token-3']);
  });

  it('keeps all attempts within one deadline', async () => {
    const { call, requests, waits } = setUp([LOST, LOST, LOST], { attemptMs: 20_000 });
    await call();
    expect(requests.map((request) => request.timeoutMs)).toEqual([60_000, 39_000, 17_000]);
    expect(waits).toEqual([1_000, 2_000]);
  });

  it('is not tried again when the deadline would pass during the wait', async () => {
    const { call, requests } = setUp([LOST, LOST, LOST], { attemptMs: 59_500 });
    expect(await call()).toEqual(LOST);
    expect(requests).toHaveLength(1);
  });

  it.each([refusal('unprocessable'), CONFUSED])('is not tried again after %o', async (result) => {
    const { call, requests } = setUp([result]);
    expect(await call()).toEqual(result);
    expect(requests).toHaveLength(1);
  });

  it('takes a used reservation after a retry for what it is: the first attempt ran', async () => {
    const { call, requests } = setUp([LOST, refusal('reservation_used')]);
    expect(await call()).toEqual(LOST);
    expect(requests).toHaveLength(2);
  });

  it('ends when the client leaves during a wait', async () => {
    const client = new AbortController();
    client.abort();
    const { call, requests } = setUp([LOST]);
    expect((await call({ signal: client.signal })).kind).toBe('aborted');
    expect(requests).toHaveLength(1);
  });

  it('throws what signing throws', async () => {
    const { call } = setUp([]);
    const sign = (): never => {
      throw new Error('no key');
    };
    await expect(call({ sign })).rejects.toThrow('no key');
  });
});

describe('the breaker', () => {
  it('opens after three failures in a row and says when to come back', async () => {
    const { call, requests, states } = setUp([LOST, LOST, LOST], { failures: 3 });
    await call();
    expect(states).toEqual(['open']);
    expect(await call()).toEqual({ kind: 'breaker_open', retryAfterSeconds: 1 });
    expect(requests).toHaveLength(3);
  });

  it('leaves the other pools alone', async () => {
    const { call } = setUp([LOST, LOST, LOST], { failures: 3 });
    await call();
    expect((await call({ pool: 'standard' })).kind).toBe('streaming');
  });

  it('ends the attempts of a call in whose course it opens', async () => {
    const { call, requests } = setUp([LOST, LOST, LOST], { failures: 1 });
    expect((await call()).kind).toBe('breaker_open');
    expect(requests).toHaveLength(1);
  });

  it('does not count refusals', async () => {
    const refused = refusal('unprocessable');
    const { call, states } = setUp([refused, refused, refused, refused], { failures: 3 });
    for (let i = 0; i < 4; i += 1) expect((await call()).kind).toBe('refused');
    expect(states).toEqual([]);
  });

  it('does not count clients that leave, neither against finn nor for it', async () => {
    const gone: FinnAttempt = { kind: 'aborted' };
    const { call, states } = setUp([CONFUSED, gone, CONFUSED, gone, CONFUSED], { failures: 3 });
    for (let i = 0; i < 4; i += 1) await call();
    expect(states).toEqual([]);
    await call();
    expect(states).toEqual(['open']);
  });
});
