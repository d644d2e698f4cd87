import { waitFor } from '@arrakis/testkit';
import { loadFigures, mustHaveNoFailures, startLoad, type LoadOptions } from '../lib/load.ts';
import { isTrue } from '../lib/objects.ts';
import type { Platform } from '../lib/platform.ts';
import { must, type Scenario, type Stage } from '../lib/scenario.ts';

const REQUESTS_PER_SECOND = 20;
const LONG_STREAMS = 8;
const LONG_SECONDS = 100;
const ROLLED_WITHIN_MS = 600_000;
/** What an upgrade replaces; the backends are not ours to stop under load. */
const COMPONENTS = ['freeside-api', 'freeside-worker', 'finn', 'controller', 'pgbouncer'];
const VALUES: Readonly<Record<string, string>> = {
  'freeside-api': 'freesideApi',
  'freeside-worker': 'freesideWorker',
};

/** Pods come and go as operators make them: nobody who asks sees it. */
export const upgrade: Scenario = {
  name: 'upgrade',
  title: 'Upgrade, rollback, eviction and drain under load',
  run: async (stage) => {
    const { platform, show, onEnd } = stage;
    const { kube } = platform;
    const long = { longStreams: LONG_STREAMS, longSeconds: LONG_SECONDS };

    await show(
      `helm upgrade replaces every pod, ${LONG_STREAMS} streams of ${LONG_SECONDS} s open`,
      () =>
        underLoad(stage, long, async () => {
          const before = await uids(platform);
          const annotations = COMPONENTS.flatMap((component) => [
            '--set-string',
            `${VALUES[component] ?? component}.podAnnotations.rolled=${Date.now()}`,
          ]);
          await kube.helm(
            ['upgrade', ...platform.helmArgs([...annotations, '--wait', '--timeout', '10m'])],
            { timeoutMs: ROLLED_WITHIN_MS },
          );
          return replaced(before, await uids(platform));
        }),
    );
    await show('helm rollback takes it back, streams open', () =>
      underLoad(stage, { longStreams: LONG_STREAMS, longSeconds: 40 }, async () => {
        const before = await uids(platform);
        await kube.helm(['rollback', platform.release, '--wait', '--timeout', '10m'], {
          timeoutMs: ROLLED_WITHIN_MS,
        });
        return replaced(before, await uids(platform));
      }),
    );
    await show('every pod but PostgreSQL’s and Redis’s evicted in turn', () =>
      underLoad(stage, { longStreams: LONG_STREAMS, longSeconds: 30 }, () => evictAll(platform)),
    );
    await show('a node is drained', () =>
      underLoad(stage, { longStreams: LONG_STREAMS, longSeconds: 30 }, () =>
        drain(platform, onEnd),
      ),
    );
    await show('conservation', () => platform.mustBalance());
  },
};

/** @returns what the work says and how the load fared. @throws when a request failed or a stream was cut. */
async function underLoad(
  stage: Stage,
  options: Omit<LoadOptions, 'requestsPerSecond'>,
  work: () => Promise<string>,
): Promise<string> {
  const load = await startLoad(stage, { requestsPerSecond: REQUESTS_PER_SECOND, ...options });
  let said: string;
  try {
    said = await work();
  } catch (error) {
    await load.stop();
    throw error;
  }
  const result = await load.stop();
  await mustHaveNoFailures(stage.platform, result);
  const leastMs = Math.min(...result.long.lastedMs);
  must(result.long.whole === LONG_STREAMS, `${result.long.whole} long streams came to their end`);
  return `${said}; ${loadFigures(result)}; ${result.long.whole} streams of ${Math.floor(leastMs / 1000)} s uncut`;
}

/** The pods of every component that a release replaces. */
async function uids(platform: Platform): Promise<ReadonlySet<string>> {
  const pods = await Promise.all(COMPONENTS.map((component) => platform.pods(component)));
  return new Set(pods.flat().map(({ metadata }) => metadata.uid));
}

function replaced(before: ReadonlySet<string>, after: ReadonlySet<string>): string {
  const kept = [...before].filter((uid) => after.has(uid));
  must(kept.length === 0, `${kept.length} of ${before.size} pods were not replaced`);
  return `${after.size} pods replaced`;
}

async function evictAll(platform: Platform): Promise<string> {
  let evicted = 0;
  for (const component of [...COMPONENTS, 'nats']) {
    const pods = await platform.pods(component);
    for (const { metadata } of pods) {
      await evict(platform, metadata.name);
      await allReady(platform, component, pods.length, metadata.uid);
      evicted += 1;
    }
  }
  return `${evicted} pods evicted`;
}

async function evict(platform: Platform, name: string): Promise<void> {
  const { namespace } = platform.kube;
  const eviction = {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { name, namespace },
  };
  const path = `/api/v1/namespaces/${namespace}/pods/${name}/eviction`;
  // A budget that is used up says no, and then is asked again: as a drain does it.
  await waitFor(
    async () => {
      await platform.kube.kubectl(['create', '--raw', path, '-f', '-'], { input: eviction });
      return true;
    },
    { timeoutMs: 60_000, intervalMs: 1_000, what: `${name} may be evicted` },
  );
}

/** As many pods as before are Ready, and the one that had to go is none of them. */
async function allReady(
  platform: Platform,
  component: string,
  count: number,
  goneUid: string,
): Promise<void> {
  await waitFor(
    async () => {
      const pods = (await platform.pods(component)).filter(
        ({ metadata, status }) => metadata.uid !== goneUid && isTrue(status.conditions, 'Ready'),
      );
      return pods.length >= count;
    },
    { timeoutMs: 240_000, intervalMs: 500, what: `${count} pods of ${component} are Ready` },
  );
}

/**
 * Drains a node of our pods. Where there is no other node the budgets stop it halfway, which is their
 * purpose: half of the pods stay until the node is open again.
 */
async function drain(
  platform: Platform,
  onEnd: (undo: () => Promise<unknown>) => void,
): Promise<string> {
  const { kube } = platform;
  const node = (await platform.pods('finn'))[0]?.spec.nodeName;
  must(node !== undefined, 'no finn runs');
  const uncordon = () => kube.kubectl(['uncordon', node]);
  onEnd(uncordon);
  const selector = `app.kubernetes.io/instance=${platform.release},app.kubernetes.io/component in (freeside-api,freeside-worker,finn,controller)`;
  const outcome = await kube
    .kubectl(
      [
        ...['drain', node, '--pod-selector', selector, '--timeout=60s'],
        ...['--ignore-daemonsets', '--delete-emptydir-data'],
      ],
      { timeoutMs: 90_000 },
    )
    .then(
      () => 'the node is empty',
      (error: unknown) => {
        must(String(error).includes('disruption budget'), String(error));
        return 'no other node takes the pods: the disruption budgets kept half of them';
      },
    );
  await uncordon();
  for (const component of ['freeside-api', 'freeside-worker', 'finn', 'controller']) {
    await allReady(platform, component, 2, '');
  }
  return outcome;
}
