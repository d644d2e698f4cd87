import { waitFor } from '@arrakis/testkit';
import { afterEach, expect, test } from 'vitest';
import type { Provider } from '../providers/provider.ts';
import { createCanned } from '../providers/canned.ts';
import { ProbeJob } from './probe.job.ts';
import { Target } from './target.ts';

let job: ProbeJob | undefined;
afterEach(() => job?.stop());

function probing(probe: Provider['probe'], probeTimeoutMs?: number) {
  const failures: unknown[] = [];
  const target = new Target({
    name: 't',
    provider: {
      ...createCanned(),
      probe,
      ...(probeTimeoutMs === undefined ? {} : { probeTimeoutMs }),
    },
    model: 'm',
    maxConcurrency: undefined,
    contextTokens: undefined,
    nowMs: () => performance.now(),
    onBreakerChanged: () => undefined,
  });
  job = new ProbeJob({
    nowMs: () => performance.now(),
    random: () => 0,
    onFailed: (_target, error) => failures.push(error),
  });
  return { target, failures, start: () => job?.start([target]) };
}

test('a probe that never returns ends at the time that its provider allows', async () => {
  const { failures, start } = probing(
    (_model, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
    20,
  );
  start();
  const [failure] = await waitFor(() => (failures.length > 0 ? failures : undefined));
  expect(failure).toMatchObject({ name: 'TimeoutError' });
});

test('a target that has just answered a caller is not asked', async () => {
  let probes = 0;
  const { target, start } = probing(() => {
    probes += 1;
    return Promise.resolve();
  });
  target.tryAcquire()?.release('succeeded');
  start();
  await new Promise((resolve) => setImmediate(resolve));
  expect(probes).toBe(0);
});

test('a target that never answered is asked at once', async () => {
  const { target, start } = probing(() => Promise.resolve());
  start();
  await waitFor(() => target.answeredAtMs !== undefined);
});
