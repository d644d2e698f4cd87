import { waitFor } from '@arrakis/testkit';
import { loadFigures, mustHaveNoFailures, startLoad } from '../lib/load.ts';
import { isTrue } from '../lib/objects.ts';
import type { Platform } from '../lib/platform.ts';
import { must, type Scenario, type Stage } from '../lib/scenario.ts';
import { SigningKeyView, leakForms } from '../lib/signing-key.ts';

const REQUESTS_PER_SECOND = 55;
const LEAST_PER_SECOND = 50;
/** The kubelet may take 90 s to hand the Secret to the pods. */
const SWITCH_WITHIN_MS = 150_000;
const OVERLAP_MS = 30_000;
const TAKEOVER_WITHIN_MS = 20_000;
/** Longer than any rotation here takes; the chart's own value. */
const NORMAL_INTERVAL = '2160h';
/** The shortest that the resource takes with its overlap and wait. */
const SHORT_INTERVAL = '45s';
/** As freeside saw it: finn itself also counts the forged tokens that canaries show it. */
const REFUSED = /^freeside_finn_attempts_total\{.*outcome="refused"/;

/** Keys change under load: nobody's token is refused, whoever dies. */
export const rotation: Scenario = {
  name: 'rotation',
  title: `Signing keys change under ${LEAST_PER_SECOND} requests a second`,
  run: async (stage) => {
    const { platform, show } = stage;
    const key = new SigningKeyView(platform);
    const refusedBefore = await platform.metric('freeside-api', REFUSED);
    const load = await startLoad(stage, { requestsPerSecond: REQUESTS_PER_SECOND });
    stage.onEnd(() => setRotationInterval(platform, NORMAL_INTERVAL));
    await key.remember();

    await show('by schedule', () =>
      rotateOnce(key, async () => {
        await setRotationInterval(platform, SHORT_INTERVAL);
        const next = await key.waitForNext(await key.activeKid(), 90_000);
        await setRotationInterval(platform, NORMAL_INTERVAL);
        return next;
      }),
    );
    await show('by annotation; both keys verify during the overlap', () =>
      rotateOnce(key, () => byAnnotation(key)),
    );
    await killIn(stage, key, ['Publishing', 'Propagating']);
    await killIn(stage, key, ['Canary', 'Active']);
    await show('the leader’s pod deleted by force while the old key is retiring', async () => {
      const oldKid = await key.activeKid();
      const kid = await byAnnotation(key);
      await key.remember();
      await waitForRetiring(key, oldKid);
      const tookOver = await killLeader(platform);
      await waitForEnd(key, kid, oldKid);
      return `${tookOver}; ${await refusedAfterwards(key, oldKid)}`;
    });
    const result = await load.stop();
    await show('no request failed, no valid token was refused', async () => {
      await mustHaveNoFailures(platform, result);
      must(result.perSecond >= LEAST_PER_SECOND, `only ${result.perSecond} requests a second`);
      const refused = (await platform.metric('freeside-api', REFUSED)) - refusedBefore;
      must(refused === 0, `finn refused ${refused} tokens that freeside had signed`);
      return loadFigures(result);
    });
    await show('conservation', () => platform.mustBalance());
    await show('Events tell the story', async () => {
      const reasons = new Set((await key.events()).map(({ reason }) => reason));
      const expected = [
        ...['RotationStarted', 'KeyPublished', 'KeyServed', 'CanaryPassed'],
        ...['KeyActivated', 'SwitchSeen', 'KeyRetired'],
      ];
      const missing = expected.filter((reason) => !reasons.has(reason));
      must(missing.length === 0, `no Event ${missing.join(', ')}`);
      return [...reasons].join(', ');
    });
    await show('no private key in any object, log or metric', () => searchForKeys(platform, key));
  },
};

async function setRotationInterval(platform: Platform, rotationInterval: string): Promise<void> {
  await platform.kube.mergePatch('signingkey/freeside', { spec: { rotationInterval } });
}

/** @returns the kid of the new key */
async function byAnnotation(key: SigningKeyView): Promise<string> {
  const oldKid = await key.activeKid();
  await key.rotate(`test-${Date.now()}`);
  return key.waitForNext(oldKid, 30_000);
}

/** One whole rotation; the old key and the new one are tried at every finn on the way. */
async function rotateOnce(key: SigningKeyView, begin: () => Promise<string>): Promise<string> {
  const beganAtMs = performance.now();
  const oldKid = await key.activeKid();
  const kid = await begin();
  await key.remember();
  await waitForRetiring(key, oldKid);
  await key.remember();
  const both = [...(await key.tryToken(oldKid)), ...(await key.tryToken(kid))];
  must(
    both.every((status) => status === 200),
    `in the overlap finn answered ${both.join(', ')}`,
  );
  await waitForEnd(key, kid, oldKid);
  const seconds = Math.round((performance.now() - beganAtMs) / 1000);
  return `${seconds} s from first to last; ${await refusedAfterwards(key, oldKid)}`;
}

/** Every replica signs with the new key; the old one is in its overlap. */
function waitForRetiring(key: SigningKeyView, oldKid: string): Promise<string> {
  return key.waitForPhase(oldKid, ['Retiring'], SWITCH_WITHIN_MS);
}

async function waitForEnd(key: SigningKeyView, kid: string, oldKid: string): Promise<void> {
  await key.waitForPhase(oldKid, ['Retired'], SWITCH_WITHIN_MS + OVERLAP_MS);
  const { status } = await key.get();
  must(status?.activeKid === kid, `the active key is ${status?.activeKid ?? 'none'}, not ${kid}`);
  await waitFor(async () => isTrue((await key.get()).status?.conditions, 'Ready'), {
    timeoutMs: 30_000,
    intervalMs: 200,
    what: 'the SigningKey is Ready',
  });
}

/** finn keeps the key set for minutes, unless something makes it look again. */
async function refusedAfterwards(key: SigningKeyView, oldKid: string): Promise<string> {
  await waitFor(
    async () => {
      await key.haveKeysFetched();
      return (await key.tryToken(oldKid)).every((status) => status === 401);
    },
    { timeoutMs: 30_000, intervalMs: 2_000, what: 'every finn refuses the retired key' },
  );
  return 'then the old key is refused';
}

/** Kills the leader when the new key is first seen in one of the phases. */
async function killIn(
  { platform, show }: Stage,
  key: SigningKeyView,
  phases: readonly string[],
): Promise<void> {
  await show(
    `the leader’s pod deleted by force while the new key is ${phases.join(' or ')}`,
    async () => {
      const oldKid = await key.activeKid();
      const kid = await byAnnotation(key);
      const phase = await key.waitForPhase(kid, phases, 60_000);
      const tookOver = await killLeader(platform);
      await waitForRetiring(key, oldKid);
      await key.remember();
      await waitForEnd(key, kid, oldKid);
      return `${tookOver}, seen as ${phase}; ${await refusedAfterwards(key, oldKid)}`;
    },
  );
}

/** Gives the leader no grace, and tells the time until another holds the Lease. */
async function killLeader(platform: Platform): Promise<string> {
  const holder = async (): Promise<string> => {
    const lease = await platform.kube.get<{ spec: { holderIdentity?: string } }>(
      'lease',
      'arrakis-controller',
    );
    return lease.spec.holderIdentity ?? '';
  };
  const leader = await holder();
  const beganAtMs = performance.now();
  const pod = leader.slice(0, leader.lastIndexOf('_'));
  await platform.kube.kubectl([
    ...['delete', 'pod', pod, '--grace-period=0', '--force', '--wait=false'],
  ]);
  await waitFor(async () => ![leader, ''].includes(await holder()), {
    timeoutMs: TAKEOVER_WITHIN_MS,
    intervalMs: 200,
    what: 'another controller leads',
  });
  return `the other led after ${((performance.now() - beganAtMs) / 1000).toFixed(1)} s`;
}

/** Looks for every private key seen here, in every form, everywhere but in its own Secret. */
async function searchForKeys(platform: Platform, key: SigningKeyView): Promise<string> {
  const needles = [...key.pems.values()].flatMap(leakForms);
  const places = new Map<string, string>();
  const kinds = 'all,configmaps,secrets,events,leases,signingkeys,endpointslices,networkpolicies';
  for (const object of await platform.kube.list<{ kind: string; metadata: { name: string } }>(
    kinds,
  )) {
    const name = `${object.kind} ${object.metadata.name}`;
    if (name !== 'Secret signing-key-freeside') places.set(name, JSON.stringify(object));
  }
  const components = ['controller', 'finn', 'freeside-api', 'freeside-worker'];
  for (const component of components) {
    for (const { url, text } of await platform.fetchAdmin(component, '/metrics')) {
      must(text !== '', `no metrics of ${url}`);
      places.set(`metrics of ${component} ${url}`, text);
    }
    for (const { metadata } of await platform.pods(component)) {
      const logs = await platform.kube.kubectl(['logs', metadata.name, '--all-containers']);
      places.set(`log of ${metadata.name}`, logs);
    }
  }
  const found = [...places].filter(([, text]) => needles.some((needle) => text.includes(needle)));
  must(found.length === 0, `found in ${found.map(([name]) => name).join(', ')}`);
  return `${key.pems.size} keys in ${needles.length} forms, looked for in ${places.size} places`;
}
