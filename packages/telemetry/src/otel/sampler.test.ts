import { ROOT_CONTEXT, trace, TraceFlags, type Context } from '@opentelemetry/api';
import { SamplingDecision } from '@opentelemetry/sdk-trace';
import { describe, expect, test } from 'vitest';
import { remoteContext } from './propagator.ts';
import { EdgeSampler } from './sampler.ts';

const SAMPLED = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const NOT_SAMPLED = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00';
/** By its id alone, OpenTelemetry's ratio sampler would take this trace at any ratio. */
const SMALL_ID = '00-00000000000000000000000000000001-b7ad6b7169203331-01';

function remote(traceparent: string): Context {
  return remoteContext(traceparent) ?? ROOT_CONTEXT;
}

function local(flags: TraceFlags): Context {
  const ids = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
  return trace.setSpanContext(ROOT_CONTEXT, { ...ids, traceFlags: flags });
}

function samples(trustsCallers: boolean, drawn: number, context: Context): boolean {
  const sampler = new EdgeSampler({ ratio: 0.1, trustsCallers, random: () => drawn });
  return sampler.shouldSample(context).decision === SamplingDecision.RECORD_AND_SAMPLED;
}

describe('what begins here', () => {
  test.each([
    [0, true],
    [0.0999, true],
    [0.1, false],
    [0.9999, false],
  ])('is sampled in proportion: drawn %d, %s', (drawn, sampled) => {
    expect(samples(true, drawn, ROOT_CONTEXT)).toBe(sampled);
    expect(samples(false, drawn, ROOT_CONTEXT)).toBe(sampled);
  });

  test('is never sampled at ratio 0 and always at ratio 1', () => {
    const at = (ratio: number, drawn: number) =>
      new EdgeSampler({ ratio, trustsCallers: false, random: () => drawn }).shouldSample(
        ROOT_CONTEXT,
      ).decision;
    expect(at(0, 0)).toBe(SamplingDecision.NOT_RECORD);
    expect(at(1, 0.999_999)).toBe(SamplingDecision.RECORD_AND_SAMPLED);
  });
});

describe('a stranger', () => {
  test.each([SAMPLED, NOT_SAMPLED, SMALL_ID])('decides nothing with %s', (traceparent) => {
    expect(samples(false, 0.5, remote(traceparent))).toBe(false);
    expect(samples(false, 0.05, remote(traceparent))).toBe(true);
  });
});

test('a caller of ours is followed', () => {
  expect(samples(true, 0.99, remote(SAMPLED))).toBe(true);
  expect(samples(true, 0, remote(NOT_SAMPLED))).toBe(false);
});

test('a parent of this process is followed, whoever called', () => {
  for (const trusts of [true, false]) {
    expect(samples(trusts, 0.99, local(TraceFlags.SAMPLED))).toBe(true);
    expect(samples(trusts, 0, local(TraceFlags.NONE))).toBe(false);
  }
});
