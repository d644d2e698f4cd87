import { describe, expect, it } from 'vitest';
import { NO_PAYMENTS } from '../payments/types.ts';
import type { CallRecord, Evidence, FaultRecord, ProviderRecord } from '../types.ts';
import { recoveryVerdicts } from './recovery-verdicts.ts';
import { serviceVerdicts } from './service-verdicts.ts';

let calls = 0;
function call(startedAtMs: number, change: Partial<CallRecord> = {}): CallRecord {
  calls += 1;
  return {
    marker: `c${calls}`,
    community: 'community',
    replica: 0,
    route: 'inference',
    stream: true,
    maxTokens: 10,
    startedAtMs,
    headersAtMs: startedAtMs + 10,
    endedAtMs: startedAtMs + 20,
    status: 200,
    text: '',
    sawDone: true,
    outcome: 'completed',
    ...change,
  };
}

const unavailable = (startedAtMs: number, change: Partial<CallRecord> = {}): CallRecord =>
  call(startedAtMs, { status: 503, retryAfter: 1, outcome: 'unavailable', ...change });

function fault(kind: FaultRecord['kind'], target: string, times: [number, number]): FaultRecord {
  return { kind, target, detail: '', startedAtMs: times[0], healedAtMs: times[1] };
}

function evidence(change: Partial<Evidence>): Evidence {
  return { calls: [], provider: [], faults: [], payments: NO_PAYMENTS, ...change };
}

/** Of the verdicts on what clients meet: polite failures, and none outside windows. */
function service(change: Partial<Evidence>): boolean[] {
  return serviceVerdicts(evidence(change)).map(({ ok }) => ok);
}
/** Of those on recovery: after PostgreSQL, after the loss of a replica. */
function recovery(change: Partial<Evidence>): boolean[] {
  return recoveryVerdicts(evidence(change)).map(({ ok }) => ok);
}

const kill = fault('kill', 'api-1', [10_000, 13_000]);

describe('a failed call', () => {
  it('is excused while a fault that it can see lasts, and for the promised time after it', () => {
    expect(service({ calls: [unavailable(11_000)], faults: [kill] })).toEqual([true, true]);
    expect(service({ calls: [unavailable(14_900)], faults: [kill] })).toEqual([true, true]);
    expect(service({ calls: [unavailable(15_100)], faults: [kill] })).toEqual([true, false]);
    const crash = fault('postgres-crash', 'postgres', [10_000, 13_000]);
    expect(service({ calls: [unavailable(22_900)], faults: [crash] })).toEqual([true, true]);
    expect(service({ calls: [unavailable(23_100)], faults: [crash] })).toEqual([true, false]);
  });

  it('is not excused by a fault of the other api, nor of what no client may notice', () => {
    for (const other of [
      fault('kill', 'api-2', [10_000, 13_000]),
      fault('freeze', 'worker-1', [10_000, 13_000]),
      fault('nats-wipe', 'nats', [10_000, 13_000]),
      fault('wire-cut', 'finn-1->nats', [10_000, 13_000]),
      fault('clock-step', 'postgres', [10_000, 13_000]),
    ]) {
      expect(service({ calls: [unavailable(11_000)], faults: [other] })).toEqual([true, false]);
    }
  });

  it('is excused while the machine gave a backend no time, at both apis', () => {
    const starved = fault('machine-starved', 'redis', [10_000, 11_000]);
    for (const replica of [0, 1]) {
      expect(service({ calls: [unavailable(10_500, { replica })], faults: [starved] })).toEqual([
        true,
        true,
      ]);
    }
    // Every finn has to be found ready again.
    expect(service({ calls: [unavailable(20_900)], faults: [starved] })).toEqual([true, true]);
    expect(service({ calls: [unavailable(21_100)], faults: [starved] })).toEqual([true, false]);
  });

  it('counts whichever way it failed', () => {
    for (const outcome of ['cut', 'no_answer'] as const) {
      expect(service({ calls: [call(1_000, { outcome })] })).toEqual([true, false]);
    }
  });

  it('is excused when the provider itself let it down', () => {
    const failed = unavailable(1_000);
    const provider: ProviderRecord = {
      marker: failed.marker,
      atMs: 1_000,
      pool: 'cheap',
      stream: true,
      promptTokens: 1,
      completionTokens: 0,
      pieces: [],
      usageReported: false,
      plan: 'fail-500',
      outcome: 'failed',
    };
    expect(service({ calls: [failed], provider: [provider] })).toEqual([true, true]);
    const stalled: ProviderRecord = { ...provider, plan: 'stall', outcome: 'aborted_by_finn' };
    expect(service({ calls: [failed], provider: [stalled] })).toEqual([true, true]);
    const left: ProviderRecord = { ...stalled, plan: 'whole' };
    expect(service({ calls: [failed], provider: [left] })).toEqual([true, false]);
  });

  it('is rude without Retry-After or with another 5xx, at any time', () => {
    for (const change of [{ retryAfter: undefined }, { retryAfter: 0 }, { status: 500 }]) {
      const result = service({ calls: [unavailable(11_000, change)], faults: [kill] });
      expect(result).toEqual([false, true]);
    }
  });
});

describe('recovery', () => {
  const crash = fault('postgres-crash', 'postgres', [10_000, 13_000]);
  const both = (atMs: number): CallRecord[] => [call(atMs), call(atMs, { replica: 1 })];

  it('wants a 200 from each api within 10 s of PostgreSQL', () => {
    expect(recovery({ calls: both(22_900), faults: [crash] })).toEqual([true, true]);
    expect(recovery({ calls: both(23_100), faults: [crash] })).toEqual([false, true]);
    expect(recovery({ calls: [call(14_000)], faults: [crash] })).toEqual([false, true]);
  });

  it('does not count an answer to a call from before', () => {
    const early = both(12_000).map((one) => ({ ...one, headersAtMs: 13_500 }));
    expect(recovery({ calls: early, faults: [crash] })).toEqual([false, true]);
  });

  it('wants a 200 over the surviving replica within 2 s of the loss', () => {
    expect(recovery({ calls: [call(11_900, { replica: 1 })], faults: [kill] })).toEqual([
      true,
      true,
    ]);
    expect(
      recovery({
        calls: [unavailable(10_500, { replica: 1 }), call(12_100, { replica: 1 })],
        faults: [kill],
      }),
    ).toEqual([true, false]);
    const never = [call(11_000), unavailable(11_000, { replica: 1 })];
    expect(recovery({ calls: never, faults: [kill] })).toEqual([true, false]);
  });

  it('says nothing when nobody asked the survivor in time', () => {
    expect(recovery({ calls: [call(12_100, { replica: 1 })], faults: [kill] })).toEqual([
      true,
      true,
    ]);
  });

  it('says nothing when another fault was in the way', () => {
    const redis = fault('redis-restart', 'redis', [10_500, 20_000]);
    expect(recovery({ calls: both(21_000), faults: [kill, redis] })).toEqual([true, true]);
  });
});
