import { waitFor } from '@arrakis/testkit';
import type { Platform } from '../lib/platform.ts';
import { must, type Scenario } from '../lib/scenario.ts';

const FLAG = 'FEATURE_API_KEYS_ENABLED';
const CONFIG_MAP = 'configmap/platform-flags';
const NATS = 'statefulset/arrakis-nats';
const FOLLOWERS = ['freeside-api', 'freeside-worker', 'finn'];
const FLIPS = 20;
const EFFECT_WITHIN_MS = 2_000;
/** Of the flips: a machine that others use as well stands still now and then. */
const SLOW_FLIPS = 1;
/** Replicas tell themselves when a change took effect: to look more often would only be in their way. */
const LOOK_EVERY_MS = 1_000;
/** kubelets, and NATS with all who follow it, come back at their own pace. */
const RETURN_WITHIN_MS = 180_000;
const EFFECT_WITHOUT_NATS_WITHIN_MS = 60_000;

/** Flags flip everywhere, also while NATS is away; a bad value changes nothing. */
const flags: Scenario = {
  name: 'flags',
  title: 'Feature flags',
  run: async ({ platform, show, onEnd }) => {
    onEnd(() => set(platform, 'true'));
    const clock = await compareClocks(platform);
    await show(`${FLIPS} flips take effect at every replica within 2 s`, async () => {
      const flipsMs: number[][] = [];
      for (let flip = 0; flip < FLIPS; flip += 1) {
        flipsMs.push(await flipAndWait(platform, clock, flip % 2 === 1));
      }
      return within(flipsMs, EFFECT_WITHIN_MS, SLOW_FLIPS);
    });
    await show('a bad value changes nothing and is explained', () => refuse(platform));
    await show('without NATS a flip takes effect at every replica within 60 s', async () => {
      onEnd(() => bringNatsBack(platform));
      await leaveFilesBehind(platform, clock);
      await platform.kube.kubectl(['scale', NATS, '--replicas=0']);
      await waitForAll(platform, ({ kv }) => kv === 'away', 'every replica has lost NATS');
      const tookMs = await flipAndWait(platform, clock, false, EFFECT_WITHOUT_NATS_WITHIN_MS * 2);
      return within([tookMs], EFFECT_WITHOUT_NATS_WITHIN_MS);
    });
    await show('NATS comes back: the bucket has the word again, and nothing flips', () =>
      showReturn(platform),
    );
    await show('the books', () => platform.mustBalance());
  },
};

export const flagScenarios: readonly Scenario[] = [flags];

interface Shown {
  readonly url: string;
  readonly flags: Readonly<Record<string, boolean>>;
  readonly source: string;
  readonly effectiveAt: string;
  readonly kv: string | null;
}

/** What every replica takes for true, each asked by its own address. */
async function readAll(platform: Platform): Promise<readonly Shown[]> {
  const pages = await platform.fetchAdmins(FOLLOWERS, '/flags');
  return pages.map(({ url, status, text }) => {
    must(status === 200, `${url} answers ${status}: ${text.slice(0, 200)}`);
    return { ...(JSON.parse(text) as Shown), url };
  });
}

async function waitForAll(
  platform: Platform,
  holds: (shown: Shown) => boolean,
  what: string,
  timeoutMs = 90_000,
): Promise<readonly Shown[]> {
  let last: readonly Shown[] = [];
  try {
    return await waitFor(
      async () => {
        last = await readAll(platform);
        return last.length >= FOLLOWERS.length && last.every(holds) && last;
      },
      { timeoutMs, intervalMs: LOOK_EVERY_MS, what },
    );
  } catch (error) {
    const amiss = last.filter((shown) => !holds(shown)).map((shown) => JSON.stringify(shown));
    throw new Error([`${String(error)}; last seen:`, ...amiss].join('\n'), { cause: error });
  }
}

/** @returns for each replica the ms from before the change was sent until it took effect there. */
async function flipAndWait(
  platform: Platform,
  clock: Clock,
  isOn: boolean,
  timeoutMs = 30_000,
): Promise<number[]> {
  const sentAtMs = Date.now() + clock.aheadMs;
  await set(platform, String(isOn));
  const shown = await waitForAll(
    platform,
    (one) => one.flags[FLAG] === isOn,
    `${FLAG} is ${isOn} at every replica`,
    timeoutMs,
  );
  return shown.map(({ effectiveAt }) => Date.parse(effectiveAt) - sentAtMs);
}

function set(platform: Platform, value: string): Promise<string> {
  return platform.kube.mergePatch(CONFIG_MAP, { data: { [FLAG]: value } });
}

/**
 * The flag is on, and the files of every replica still say off, as they do when a kubelet last came
 * round in between: switching it off again then changes none of their bytes but the document beside.
 */
async function leaveFilesBehind(platform: Platform, clock: Clock): Promise<void> {
  await flipAndWait(platform, clock, false);
  const pods = (await Promise.all(FOLLOWERS.map((name) => platform.pods(name)))).flat();
  const names = pods.map(({ metadata }) => `pod/${metadata.name}`);
  // Makes their kubelet look at once.
  await platform.kube.kubectl([
    'annotate',
    '--overwrite',
    ...names,
    `test/looked-at=${Date.now()}`,
  ]);
  await waitFor(
    async () => {
      const files = await Promise.all(names.map((name) => readFile(platform, name)));
      return files.every((text) => text === 'false');
    },
    { timeoutMs: 90_000, intervalMs: 1_000, what: `the files of ${FLAG} say false` },
  );
  await flipAndWait(platform, clock, true);
}

function readFile(platform: Platform, pod: string): Promise<string> {
  return platform.kube.exec([pod, '--', 'cat', `/var/run/arrakis/flags/${FLAG}`]);
}

/**
 * @param flipsMs of each flip what every replica took
 * @param slow how many flips may be over the limit
 * @returns the figures. @throws Error with them when more flips were over the limit.
 */
function within(flipsMs: readonly (readonly number[])[], limitMs: number, slow = 0): string {
  const sorted = flipsMs.flat().sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Infinity;
  const seen = `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms (${sorted.length} effects)`;
  const over = flipsMs.filter((tookMs) => !(Math.max(...tookMs) < limitMs));
  must(over.length <= slow, `${over.length} of ${flipsMs.length} flips too slow: ${seen}`);
  return seen;
}

interface Clock {
  /** Of the cluster's node before ours. */
  readonly aheadMs: number;
}

/** Replicas tell by their own clock when a change took effect. */
async function compareClocks(platform: Platform): Promise<Clock> {
  let best = { aheadMs: 0, errorMs: Infinity };
  for (let look = 0; look < 3; look += 1) {
    const beganMs = Date.now();
    const told = await platform.beside.exec([
      ...['probe', '--', 'node', '-e', 'console.log(Date.now())'],
    ]);
    const errorMs = (Date.now() - beganMs) / 2;
    if (errorMs < best.errorMs) best = { aheadMs: Number(told) - beganMs - errorMs, errorMs };
  }
  // Less than what can be told apart is no difference.
  return { aheadMs: Math.abs(best.aheadMs) <= best.errorMs ? 0 : Math.round(best.aheadMs) };
}

interface Statement {
  readonly effective?: Readonly<Record<string, boolean>>;
  readonly refused?: Readonly<Record<string, string>>;
  readonly carrier?: string;
}

async function readStatement(platform: Platform): Promise<Statement> {
  const { metadata } = await platform.kube.get<{
    metadata: { annotations?: Readonly<Record<string, string>> };
  }>(CONFIG_MAP);
  return JSON.parse(metadata.annotations?.['flags.arrakis.community/status'] ?? '{}') as Statement;
}

async function refuse(platform: Platform): Promise<string> {
  const before = await readAll(platform);
  await set(platform, 'maybe');
  const { refused } = await waitFor(
    async () => {
      const statement = await readStatement(platform);
      return statement.refused?.[FLAG] !== undefined && statement;
    },
    { timeoutMs: 20_000, intervalMs: 200, what: 'the annotation names the refused value' },
  );
  const events = await platform.kube.list<{ message?: string; note?: string }>(
    ...['events', '--field-selector', 'involvedObject.name=platform-flags,reason=FlagRefused'],
  );
  must(events.length > 0, 'no Event FlagRefused');
  const after = await readAll(platform);
  for (const { url, flags: held, effectiveAt } of after) {
    const old = before.find((one) => one.url === url);
    must(
      old?.flags[FLAG] === held[FLAG] && old?.effectiveAt === effectiveAt,
      `${url} changed its mind`,
    );
  }
  await set(platform, 'true');
  return `${FLAG} ${refused?.[FLAG] ?? ''}; ${after.length} replicas stay as they were`;
}

async function bringNatsBack(platform: Platform): Promise<void> {
  const { items } = await platform.kube.get<{
    items: { metadata: { name: string }; spec: { replicas: number } }[];
  }>('statefulsets', '-l', 'app.kubernetes.io/component=nats');
  if (items.some(({ spec }) => spec.replicas > 0)) return;
  await platform.kube.kubectl(['scale', NATS, '--replicas=1']);
  await platform.kube.kubectl(['rollout', 'status', NATS, '--timeout=120s'], {
    timeoutMs: 130_000,
  });
}

async function showReturn(platform: Platform): Promise<string> {
  const before = await readAll(platform);
  await bringNatsBack(platform);
  const after = await waitForAll(
    platform,
    ({ kv, source }) => kv === 'live' && source === 'kv',
    'every replica follows the bucket again',
    RETURN_WITHIN_MS,
  );
  for (const { url, flags: held } of after) {
    const old = before.find((one) => one.url === url);
    must(old?.flags[FLAG] === held[FLAG], `${url} flipped when NATS came back`);
  }
  await waitFor(async () => (await readStatement(platform)).carrier === 'nats', {
    timeoutMs: RETURN_WITHIN_MS,
    intervalMs: 200,
    what: 'the controller has told NATS',
  });
  return `${after.length} replicas, ${FLAG} stays ${String(after[0]?.flags[FLAG])}`;
}
