import { resolve } from 'node:path';
import { waitFor } from '@arrakis/testkit';
import { must, type Scenario } from '../lib/scenario.ts';
import type { Pod } from '../lib/objects.ts';
import { ROOT } from '../lib/platform.ts';
import { readPressure, waitingShare, wasStarved } from '../lib/pressure.ts';

const READY_WITHIN_SECONDS = 120;
/** The longest drain and some. */
const GONE_WITHIN_MS = 180_000;

/** From an empty namespace that enforces Pod Security `restricted` to a metered answer. */
export const install: Scenario = {
  name: 'install',
  title: 'Installation',
  run: async ({ platform, show, say }) => {
    const { kube, beside } = platform;
    for (const { namespace } of [kube, beside]) {
      await kube.apply({
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: {
          name: namespace,
          labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
        },
      });
    }
    say(`installing into ${kube.namespace}`);
    await show(`all Ready within ${READY_WITHIN_SECONDS} s`, async () => {
      const beganAtMs = performance.now();
      const before = await readPressure();
      await kube.helm(
        ['install', ...platform.helmArgs(['--wait', '--wait-for-jobs', '--timeout', '5m'])],
        { timeoutMs: 330_000 },
      );
      const seconds = Math.round((performance.now() - beganAtMs) / 1000);
      const share = waitingShare(before, await readPressure());
      const seen = `${seconds} s, in ${Math.round(share * 100)} % of which something waited for a processor`;
      if (seconds > READY_WITHIN_SECONDS && wasStarved(share)) return `${seen}: not judged`;
      must(seconds <= READY_WITHIN_SECONDS, `it took ${seen}`);
      return seen;
    });
    await show('no container was started twice, none runs as root', async () => {
      const pods = await kube.list<Pod>('pods');
      const restarted = pods.filter(({ status }) =>
        status.containerStatuses?.some(({ restartCount }) => restartCount > 0),
      );
      must(restarted.length === 0, restarted.map(({ metadata }) => metadata.name).join(', '));
      return `${pods.length} pods in a namespace that enforces restricted`;
    });
    await show('helm test: a metered answer through the Service', async () => {
      const said = await kube.helm(['test', platform.release, '--logs', '--timeout', '2m'], {
        timeoutMs: 130_000,
      });
      return said
        .split('\n')
        .filter((line) => /charged|balance/.test(line))
        .join('; ');
    });
    await platform.prepareBeside();
  },
};

/** Last of all: what is left is what the documentation names, and then nothing. */
export const uninstall: Scenario = {
  name: 'uninstall',
  title: 'Removal',
  run: async ({ platform, show }) => {
    const { kube } = platform;
    await show('helm uninstall leaves what docs/operations.md names', async () => {
      await kube.helm(['uninstall', platform.release, '--wait', '--timeout', '3m'], {
        timeoutMs: 190_000,
      });
      const kinds =
        'all,configmaps,secrets,persistentvolumeclaims,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,signingkeys';
      let left: string[] = [];
      let stray: string[] = [];
      // Pods that are still draining go by themselves.
      await waitFor(
        async () => {
          left = (await kube.kubectl(['get', kinds, '-o', 'name'])).trim().split('\n');
          stray = left.filter((name) => !KEPT.some((kept) => kept.test(name)));
          return stray.length === 0;
        },
        { timeoutMs: GONE_WITHIN_MS, intervalMs: 2_000 },
      ).catch(() => undefined);
      must(stray.length === 0, `left behind: ${stray.join(', ')}`);
      return `${left.length} objects: volumes, Secrets, flags, the signing key`;
    });
    await show('scripts/cluster/remove.sh leaves nothing', async () => {
      await kube.kubectl(['delete', 'namespace', platform.beside.namespace, '--wait=false']);
      const script = resolve(ROOT, 'scripts/cluster/remove.sh');
      await kube.command('sh', [script, kube.namespace], { timeoutMs: 400_000 });
      const found = await kube.kubectl(['get', 'namespace', kube.namespace, '--ignore-not-found']);
      must(found === '', 'the namespace is still there');
      return 'namespace and volumes are gone';
    });
  },
};

/** The table in docs/operations.md, and what Kubernetes itself puts into a namespace. */
const KEPT: readonly RegExp[] = [
  /^persistentvolumeclaim\/(?:data-arrakis-|spool-arrakis-finn-)/,
  /^secret\/arrakis-(?:database|redis|nats|app|audit|demo-key|load-key)$/,
  /^secret\/signing-key-freeside$/,
  /^signingkey\.keys\.arrakis\.community\/freeside$/,
  /^configmap\/(?:platform-flags|kube-root-ca\.crt)$/,
  /^pod\/arrakis-test$/,
  /^serviceaccount\/default$/,
];
