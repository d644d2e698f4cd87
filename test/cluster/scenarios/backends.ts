import { waitFor } from '@arrakis/testkit';
import { startLoad, type LoadResult } from '../lib/load.ts';
import { isTrue, type Pod } from '../lib/objects.ts';
import type { Platform } from '../lib/platform.ts';
import { must, type Scenario, type Stage } from '../lib/scenario.ts';

const REQUESTS_PER_SECOND = 20;
const BACK_WITHIN_SECONDS = 10;
/** Load after the backend is back, in which a failure would be seen. */
const WATCHED_SECONDS = 20;

/** PostgreSQL, Redis and NATS die under load. */
export const backends: Scenario = {
  name: 'backends',
  title: 'Backends lost under load',
  run: async (stage) => {
    const { platform, show } = stage;
    for (const backend of ['postgres', 'redis', 'nats']) {
      await show(`${backend}: served again within ${BACK_WITHIN_SECONDS} s of its return`, () =>
        loseUnderLoad(stage, backend),
      );
      await show(`${backend}: the books`, () => platform.mustBalance());
    }
  },
};

async function loseUnderLoad(stage: Stage, backend: string): Promise<string> {
  const load = await startLoad(stage, { requestsPerSecond: REQUESTS_PER_SECOND });
  let readyAtMs: number;
  try {
    readyAtMs = await replacePod(stage.platform, backend);
    const endMs = readyAtMs + (BACK_WITHIN_SECONDS + WATCHED_SECONDS) * 1000;
    await waitFor(() => Date.now() >= endMs, {
      timeoutMs: 120_000,
      intervalMs: 500,
      what: 'the load goes on for a while',
    });
  } catch (error) {
    await load.stop();
    throw error;
  }
  const result = await load.stop();
  must(result.whole > 0, 'no request was answered');
  const backAfter = lastFailureAfter(result, readyAtMs);
  must(
    backAfter <= BACK_WITHIN_SECONDS,
    `requests failed up to ${backAfter} s after ${backend} was Ready: ${result.failures.at(-1)?.why ?? ''}`,
  );
  const clean = backAfter > 0 ? `the last failure ${backAfter} s after` : 'no failure after';
  return `${result.failed} of ${result.sent} requests failed, ${clean} it was Ready`;
}

/** @returns when the successor was Ready, as Kubernetes says: in whole seconds, cut off */
async function replacePod(platform: Platform, backend: string): Promise<number> {
  const name = `arrakis-${backend}-0`;
  const old = await platform.kube.get<Pod>('pod', name);
  await platform.kube.kubectl(['delete', 'pod', name, '--wait=false']);
  const next = await waitFor(
    async () => {
      const pod = await platform.kube.get<Pod>('pod', name);
      const isNew = pod.metadata.uid !== old.metadata.uid;
      return isNew && isTrue(pod.status.conditions, 'Ready') && pod;
    },
    { timeoutMs: 180_000, intervalMs: 500, what: `${name} is Ready again` },
  );
  const ready = next.status.conditions?.find(({ type }) => type === 'Ready');
  return Date.parse(ready?.lastTransitionTime ?? '');
}

/** Seconds from the backend's return to the last second with a failure; 0 when there was none. */
function lastFailureAfter({ failedSeconds }: LoadResult, readyAtMs: number): number {
  const last = Math.max(0, ...Object.keys(failedSeconds).map(Number));
  return Math.max(0, last - Math.floor(readyAtMs / 1000));
}
