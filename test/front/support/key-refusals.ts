import { randomBytes } from 'node:crypto';
import { Agent, request } from 'node:http';
import type { Queryable } from '@arrakis/postgres';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import {
  formatApiKey,
  generateApiKey,
} from '../../../services/freeside/src/features/api-keys/api-key-format.domain.ts';
import { createApiKeyEvents } from '../../../services/freeside/src/features/api-keys/events.ts';
import { KeyHasher } from '../../../services/freeside/src/features/api-keys/key-hash.ts';
import { parsePeppers } from '../../../services/freeside/src/features/api-keys/pepper.domain.ts';
import { ApiKeyService } from '../../../services/freeside/src/features/api-keys/service.ts';
import { ksDistance, ksProbability, quantile, shuffled } from './distribution.ts';

/** Why a key may be refused, which nobody may learn from how long it takes. */
export const KINDS = ['unknown prefix', 'wrong secret', 'revoked'] as const;
export type Kind = (typeof KINDS)[number];
/** Microseconds of each refusal. */
export type Timings = ReadonlyMap<Kind, readonly number[]>;
export type Keys = Readonly<Record<Kind, readonly string[]>>;

export function newKey(): string {
  return formatApiKey(generateApiKey('live', randomBytes));
}

/** Keys of each kind in a community of their own. @param pepper `version:base64` of who verifies them */
export async function makeKeys(owner: Queryable, pepper: string, count: number): Promise<Keys> {
  const keys = {
    'unknown prefix': Array.from({ length: count }, newKey),
    'wrong secret': await insertKeys(owner, pepper, count, true),
    revoked: await insertKeys(owner, pepper, count, false),
  };
  await owner.query('ANALYZE freeside.api_keys');
  return keys;
}

async function insertKeys(
  owner: Queryable,
  pepper: string,
  count: number,
  active: boolean,
): Promise<string[]> {
  const { rows } = await owner.query<{ user_id: string; community_id: string }>(
    `WITH c AS (INSERT INTO freeside.communities (slug, name, tier) VALUES ($1, $1, 'pro') RETURNING id)
     INSERT INTO freeside.community_members (community_id, display_name) SELECT id, 'b' FROM c
     RETURNING id AS user_id, community_id`,
    [`bench-${randomBytes(4).toString('hex')}`],
  );
  const hasher = new KeyHasher(parsePeppers(pepper));
  const keys = Array.from({ length: count }, () => generateApiKey('live', randomBytes));
  const hashes = keys.map((key) => hasher.hash(key.secret));
  await owner.query(
    `INSERT INTO freeside.api_keys (user_id, community_id, key_prefix, key_hash, key_salt, pepper_version,
       name, rate_limit_rpm, rate_limit_tpd, is_active, revoked_at)
     SELECT $1, $2, k.prefix, k.hash, k.salt, 1, 'b', 60, 1000000, $6::boolean, CASE WHEN $6 THEN NULL ELSE now() END
     FROM unnest($3::text[], $4::bytea[], $5::bytea[]) AS k (prefix, hash, salt)`,
    [
      rows[0]?.user_id,
      rows[0]?.community_id,
      keys.map((key) => key.keyPrefix),
      hashes.map((hash) => hash.keyHash),
      hashes.map((hash) => hash.keySalt),
      active,
    ],
  );
  return keys.map((key) => {
    // Of an active key the secret is another one.
    const { secret } = active ? generateApiKey('live', randomBytes) : key;
    return formatApiKey({ ...key, secret });
  });
}

/** The service by itself, without a throttle, so that thousands of refusals can be timed. */
export function serviceAlone(db: Queryable, pepper: string): ApiKeyService {
  const logger = createLogger({ service: 'bench', level: 'silent' });
  return new ApiKeyService({
    db,
    peppers: parsePeppers(pepper),
    events: createApiKeyEvents(createRegistry('bench'), logger),
    throttle: { burst: 1e9, refillPerSecond: 1, maxAddresses: 1 },
  });
}

type Refuse = (key: string) => Promise<void>;

/** Each key once, the kinds in random order, so that whatever else the machine does hits all alike. */
async function time(keys: Keys, refuse: Refuse): Promise<Timings> {
  const timings = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
  const presented = KINDS.flatMap((kind) => keys[kind].map((key) => [kind, key] as const));
  for (const [kind, key] of shuffled(presented)) {
    const startedAtMs = performance.now();
    await refuse(key);
    timings.get(kind)?.push((performance.now() - startedAtMs) * 1000);
  }
  return timings;
}

/** One key of each kind, again and again. */
function few(keys: Keys, count: number): Keys {
  const repeat = (kind: Kind): string[] => Array.from({ length: count }, () => keys[kind][0] ?? '');
  return Object.fromEntries(KINDS.map((kind) => [kind, repeat(kind)])) as Record<Kind, string[]>;
}

/** Within the process: from the caches, and by a query each. */
export async function timeService(
  service: ApiKeyService,
  keys: Keys,
  rounds: number,
): Promise<{ readonly warm: Timings; readonly cold: Timings }> {
  const refuse: Refuse = async (key) => {
    const result = await service.authenticate(`Bearer ${key}`, '192.0.2.1');
    if (result.ok || result.code !== 'invalid_api_key') throw new Error('a key was not refused');
  };
  // First what the compiler learns here, then it knows for all kinds.
  await time(few(keys, 500), refuse);
  return { warm: await time(few(keys, rounds), refuse), cold: await time(keys, refuse) };
}

/** Over HTTP, from so many addresses that none is asked to wait. */
export async function timeOverHttp(url: string, keys: Keys): Promise<Timings> {
  const triesOfEach = 20;
  let tries = 0;
  let agent = new Agent();
  const refuse: Refuse = async (key) => {
    const status = await ask(url, agent, key);
    if (status !== 401) throw new Error(`a key was answered with ${status}`);
  };
  const timings = await time(keys, async (key) => {
    await refuse(key);
    tries += 1;
    if (tries % triesOfEach !== 1) return;
    agent.destroy();
    agent = agentAt(loopback(tries));
    // The connection is there before the clock runs.
    await refuse(newKey());
  });
  agent.destroy();
  return timings;
}

/** Another address of the loopback network for each number. */
export function loopback(index: number): string {
  return `127.${(index >> 16) & 0x7f}.${(index >> 8) & 0xff}.${index & 0xff || 1}`;
}

export function agentAt(localAddress: string): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1, localAddress });
}

/** The status of a request with that key. */
export function ask(
  url: string,
  agent: Agent,
  key: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const options = { agent, headers: { ...headers, authorization: `Bearer ${key}` } };
  const call = request(`${url}/api/v1/balance`, options, (response) => {
    response.resume();
    response.on('end', () => resolve(response.statusCode ?? 0));
  });
  call.on('error', reject).end();
  return promise;
}

export interface Comparison {
  /** The smallest median by the largest. */
  readonly ratio: number;
  readonly lines: readonly string[];
}

/** Medians, tails, and how far each pair of kinds lies apart. */
export function compare(title: string, timings: Timings): Comparison {
  const medians = KINDS.map((kind) => quantile(timings.get(kind) ?? [], 0.5));
  const rows = KINDS.map((kind) => {
    const values = timings.get(kind) ?? [];
    const at = (share: number): string => quantile(values, share).toFixed(1).padStart(9);
    return `${title.padEnd(13)} ${kind.padEnd(15)} p50 ${at(0.5)}  p90 ${at(0.9)} us  n ${values.length}`;
  });
  const pairs = [
    [0, 1],
    [0, 2],
    [1, 2],
  ].map(([i = 0, j = 0]) => {
    const [a, b] = [
      timings.get(KINDS[i] ?? 'revoked') ?? [],
      timings.get(KINDS[j] ?? 'revoked') ?? [],
    ];
    const distance = ksDistance(a, b);
    const likely = ksProbability(distance, [a.length, b.length]);
    return `${title.padEnd(13)} ${KINDS[i]} / ${KINDS[j]}: KS distance ${distance.toFixed(3)}, by chance ${likely.toFixed(3)}`;
  });
  return { ratio: Math.min(...medians) / Math.max(...medians), lines: [...rows, ...pairs] };
}
