import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bootstrapRoles, createPool, migrate, type Queryable } from '@arrakis/postgres';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { removeClusterFiles, startPostgres } from '@arrakis/testkit';
import {
  formatApiKey,
  generateApiKey,
} from '../../services/freeside/src/features/api-keys/api-key-format.domain.ts';
import { createApiKeyEvents } from '../../services/freeside/src/features/api-keys/events.ts';
import { KeyHasher } from '../../services/freeside/src/features/api-keys/key-hash.ts';
import { parsePeppers } from '../../services/freeside/src/features/api-keys/pepper.domain.ts';
import { ApiKeyService } from '../../services/freeside/src/features/api-keys/service.ts';

/**
 * What refusing an API key costs, by why it is refused: an unknown prefix, a wrong secret, a revoked
 * key. `node loadtest/bench/api-key-refusals.ts [keys of each kind]`. Cold: the first time that this
 * process hears of the prefix, with a query to a PostgreSQL of its own; warm: from the caches. The
 * kinds take turns in random order, so that whatever else the machine does hits them alike. Judge by
 * comparing: figures of different machines mean nothing to one another.
 */

const ROOT = resolve(import.meta.dirname, '../..');
const KINDS = ['unknown prefix', 'wrong secret', 'revoked'] as const;
type Kind = (typeof KINDS)[number];
type Presented = readonly (readonly [kind: Kind, authorization: string])[];

const keysOfEach = Number(process.argv[2] ?? '2000');
const peppers = parsePeppers(`1:${randomBytes(32).toString('base64')}`);

async function insertKeys(owner: Queryable, active: boolean): Promise<string[]> {
  const { rows } = await owner.query<{ user_id: string; community_id: string }>(
    `WITH c AS (INSERT INTO freeside.communities (slug, name, tier) VALUES ($1, $1, 'pro') RETURNING id)
     INSERT INTO freeside.community_members (community_id, display_name) SELECT id, 'b' FROM c
     RETURNING id AS user_id, community_id`,
    [`bench-${randomBytes(4).toString('hex')}`],
  );
  const hasher = new KeyHasher(peppers);
  const keys = Array.from({ length: keysOfEach }, () => generateApiKey('live', randomBytes));
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

function shuffle<T>(items: readonly T[]): T[] {
  return items
    .map((item) => [Math.random(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}

async function measure(service: ApiKeyService, presented: Presented): Promise<Map<Kind, number[]>> {
  const micros = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
  for (const [kind, authorization] of presented) {
    const began = performance.now();
    const result = await service.authenticate(authorization, '192.0.2.1');
    micros.get(kind)?.push((performance.now() - began) * 1000);
    if (result.ok || result.code !== 'invalid_api_key') throw new Error(`${kind} was not refused`);
  }
  return micros;
}

function print(title: string, micros: ReadonlyMap<Kind, readonly number[]>): void {
  for (const [kind, unsorted] of micros) {
    const sorted = unsorted.toSorted((a, b) => a - b);
    const at = (share: number): string =>
      (sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(1).padStart(9);
    console.log(`${title.padEnd(5)}  ${kind.padEnd(15)}${at(0.5)}${at(0.9)}  ${sorted.length}`);
  }
}

async function compare(owner: Queryable, app: Queryable): Promise<void> {
  const unknown = Array.from({ length: keysOfEach }, () =>
    formatApiKey(generateApiKey('live', randomBytes)),
  );
  const [active, revoked] = [await insertKeys(owner, true), await insertKeys(owner, false)];
  await owner.query('ANALYZE freeside.api_keys');
  const keys = { 'unknown prefix': unknown, 'wrong secret': active, revoked };
  const all = KINDS.flatMap((kind) => keys[kind].map((key) => [kind, `Bearer ${key}`] as const));
  const few = KINDS.map((kind) => [kind, `Bearer ${keys[kind][0] ?? ''}`] as const);
  const service = new ApiKeyService({
    db: app,
    peppers,
    events: createApiKeyEvents(
      createRegistry('bench'),
      createLogger({ service: 'bench', level: 'silent' }),
    ),
    throttle: { burst: 1e9, refillPerSecond: 1, maxAddresses: 1 },
  });
  // Warm first: what the compiler learns here, it knows for all kinds.
  await measure(service, few);
  const warm = await measure(
    service,
    Array.from({ length: keysOfEach }, () => shuffle(few)).flat(),
  );
  const cold = await measure(service, shuffle(all));
  console.log('caches refusal            p50 us   p90 us  n');
  print('warm', warm);
  print('cold', cold);
  await service.close();
}

const dir = await mkdtemp(join(tmpdir(), 'arrakis-bench-'));
const dataDir = join(dir, 'postgres');
const postgres = await startPostgres({ dataDir });
try {
  const passwords = Object.fromEntries(
    ['migrator', 'freeside_app', 'loa_finn_ro'].map((role) => [
      role,
      randomBytes(12).toString('hex'),
    ]),
  );
  const sqlFile = join(ROOT, 'migrations/bootstrap/roles.sql');
  await bootstrapRoles({ adminUrl: postgres.url, sqlFile, database: 'bench', passwords });
  const urlOf = (role: string): string => {
    const url = new URL(postgres.url);
    return Object.assign(url, { pathname: '/bench', username: role, password: passwords[role] })
      .href;
  };
  const migrationsDir = join(ROOT, 'migrations');
  await migrate({ url: urlOf('migrator'), migrationsDir, direction: 'up' });
  const [owner, app] = ['migrator', 'freeside_app'].map((role) =>
    createPool({
      url: urlOf(role),
      max: 2,
      applicationName: 'bench',
      onError: () => undefined,
    }),
  );
  if (owner === undefined || app === undefined) throw new Error('unreachable');
  await compare(owner, app);
  await owner.end();
  await app.end();
} finally {
  await postgres.stop();
  await removeClusterFiles(dataDir);
  await rm(dir, { recursive: true, force: true });
}
