import { setMaxListeners } from 'node:events';
import { createPrng, type Prng } from '../world/prng.ts';
import type { CallRecord, Community, LoadHandle, LoadOptions, World } from '../types.ts';
import type { Market } from '../payments/types.ts';
import { readBalance } from './balance-reader.ts';
import { runBuyer } from './buyers.ts';
import { closeConnections, performCall, type CallSpec } from './call.ts';
import { pause } from './pause.ts';
import { playScenarios } from './scenarios/scenarios.ts';

/** Between two calls of one client; 50 of them make some 50 calls a second. */
const THINK_MS = { least: 150, most: 1_250 } as const;
/** After a call that was not answered. */
const SETBACK_MS = { least: 100, most: 400 } as const;
const BALANCE_EVERY_MS = 700;

/** Shares of the traffic; the others split what is left. */
const SHARES = { hot: 0.5, poor: 0.1 } as const;
const SHARE_OF_LEAVERS = 0.13;

/** Clients of the community that has what it buys. */
const SPENDERS = 2;
/** Communities that buy beside it, by their place in the plan. */
const BUYERS_OF = ['hot', 'hot', 'split', 'pro', 'prepaid'];

/**
 * Clients that call, read and sometimes hang up until they are told to stop, and one reader of the
 * balance for each community; beside them some that buy credits, spend them and are refunded. When
 * they have stopped, and all faults are over, the scenarios are played.
 */
export function startLoad(world: World, options: LoadOptions): LoadHandle {
  const records: CallRecord[] = [];
  const market: Market = { purchases: [], attempts: [] };
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const loops = [
    ...Array.from({ length: options.clients }, (_none, index) =>
      runClient({ world, index, records, stopping: stopping.signal, seed: options.seed }),
    ),
    ...world.communities.map((community, index) =>
      readBalances({ world, index, records, stopping: stopping.signal, community }),
    ),
    ...startMarket(world, { seed: options.seed, records, market, stopping: stopping.signal }),
  ];
  return {
    records: () => records,
    market: () => market,
    async stop() {
      stopping.abort();
      await Promise.all(loops);
      records.push(...(await playScenarios(world, market)));
      closeConnections();
      return records;
    },
  };
}

/** Draws from streams of its own: the other clients of a seed do what they did before. */
function startMarket(
  world: World,
  shared: Omit<Loop, 'world' | 'index'> & { readonly seed: number; readonly market: Market },
): Promise<void>[] {
  const named = (slug: string): Community | undefined =>
    world.communities.find((community) => community.slug === slug);
  const prepaid = world.communities.find((community) => community.prepaid);
  return [
    ...BUYERS_OF.flatMap((slug, index) => {
      const community = named(slug);
      return community === undefined ? [] : [runBuyer({ ...shared, world, index, community })];
    }),
    ...Array.from({ length: prepaid === undefined ? 0 : SPENDERS }, (_none, index) =>
      runClient({ ...shared, world, index, only: prepaid }),
    ),
  ];
}

interface Loop {
  readonly world: World;
  readonly index: number;
  readonly records: CallRecord[];
  readonly stopping: AbortSignal;
}

interface ClientLoop extends Loop {
  readonly seed: number;
  /** The one community it belongs to; else it has keys of all but the prepaid one. */
  readonly only?: Community | undefined;
}

async function runClient(loop: ClientLoop): Promise<void> {
  const { world, index, records, stopping, seed, only } = loop;
  const stream = only === undefined ? 'client' : 'prepaid-client';
  const prng = createPrng(seed, `${stream}-${String(index)}`);
  let replica = index % world.apis.length;
  // So that they don't all begin at once.
  await pause(prng.int(0, THINK_MS.most), stopping);
  for (let turn = 0; !stopping.aborted; turn += 1) {
    const marker = `${stream.charAt(0)}${String(index)}-${String(turn)}`;
    const record = await performCall(drawCall(world, prng, { marker, replica, only }));
    records.push(record);
    // Round robin; a call that failed is tried at the other replica.
    replica = (replica + 1) % world.apis.length;
    const isSetback = record.outcome === 'no_answer' || record.outcome === 'unavailable';
    const { least, most } = isSetback ? SETBACK_MS : THINK_MS;
    await pause(prng.int(least, most), stopping);
  }
}

function drawCall(
  world: World,
  prng: Prng,
  { marker, replica, only }: Pick<CallSpec, 'marker' | 'replica'> & Pick<ClientLoop, 'only'>,
): CallSpec {
  const community = only ?? drawCommunity(world.communities, prng);
  const stream = prng.next() < 0.65;
  return {
    marker,
    community: community.id,
    apiKey: prng.pick([community.apiKeys[0], ...community.apiKeys.slice(1)]),
    replica,
    baseUrl: world.apis[replica]!.url,
    route: prng.next() < 0.5 ? 'inference' : 'chat_completions',
    agent: prng.pick([community.agents[0], ...community.agents.slice(1)]).slug,
    stream,
    maxTokens: community.poor ? prng.int(150, 1_500) : prng.int(500, 6_000),
    includeUsage: prng.next() < 0.8,
    leaves: prng.next() < SHARE_OF_LEAVERS ? drawLeaving(prng, stream) : undefined,
  };
}

function drawLeaving(prng: Prng, stream: boolean): CallSpec['leaves'] {
  if (!stream || prng.next() < 0.3) return { afterMs: prng.int(5, 150) };
  return { afterPieces: prng.int(1, 4) };
}

function drawCommunity(communities: readonly Community[], prng: Prng): Community {
  const share = prng.next();
  const hot = communities.find((one) => one.hot);
  const poor = communities.find((one) => one.poor);
  if (hot !== undefined && share < SHARES.hot) return hot;
  if (poor !== undefined && share < SHARES.hot + SHARES.poor) return poor;
  const [first, ...others] = communities.filter((one) => !one.hot && !one.poor && !one.prepaid);
  return first === undefined ? communities[0]! : prng.pick([first, ...others]);
}

async function readBalances(loop: Loop & { readonly community: Community }): Promise<void> {
  const { world, index, records, stopping, community } = loop;
  for (let turn = 0; !stopping.aborted; turn += 1) {
    const replica = (index + turn) % world.apis.length;
    const marker = `b${String(index)}-${String(turn)}`;
    records.push(await readBalance(world, community, replica, marker));
    await pause(BALANCE_EVERY_MS, stopping);
  }
}
