import { randomBytes, randomUUID, sign } from 'node:crypto';
import { readFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { INFERENCE_PATH, JWKS_PATH, POOLS } from '@arrakis/contracts';
import { bootstrapRoles, createPool, migrate } from '@arrakis/postgres';
import {
  findFreePort,
  generateSigningKey,
  removeClusterFiles,
  serviceClaims,
  spawnService,
  startNats,
  startPostgres,
  startReaper,
  startRedis,
  type SigningKey,
  type SpawnedService,
} from '@arrakis/testkit';
import { Pool } from 'undici';

/**
 * What a metered answer costs finn alone: real PostgreSQL, Redis and NATS, a vendor that says 16
 * tokens at once, tokens signed here.
 *
 * `node loadtest/bench/finn.ts [seconds per round] [directory for a CPU profile]`. Prints
 * requests/s, latencies and finn's own CPU time per request (Linux only), medians of three rounds.
 * Generator and vendor share the machine with finn, so the rates are a lower bound.
 */

const ROOT = resolve(import.meta.dirname, '../..');
const ROUNDS = 3;
const CONNECTIONS = [1, 16, 64];
const TOKENS = 16;
const NFT_ID = '1:0x00000000000000000000000000000000000000aa:1';
const COMMUNITY_ID = '00000000-0000-7000-8000-000000000001';
/** USER_HZ of every Linux that Node runs on. */
const MS_PER_TICK = 10;
const seconds = Number(process.argv[2] ?? '5');
const profileDir = process.argv[3];

const PROMPT =
  'Summarise in two sentences why a gateway should hold the worst-case cost of an answer before ' +
  'it asks the model, and settle to what was delivered afterwards.';

interface Round {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicros: number;
}

async function listen(handler: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer(handler);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { server, url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}` };
}

function vendorAnswer(): string {
  const chunk = (rest: object): string =>
    `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', ...rest })}\n\n`;
  const delta = (content: object, finish: string | null): string =>
    chunk({ choices: [{ index: 0, delta: content, finish_reason: finish }] });
  const usage = { prompt_tokens: 120, completion_tokens: TOKENS, total_tokens: 120 + TOKENS };
  return [
    ...Array.from({ length: TOKENS }, () => delta({ content: ' word' }, null)),
    delta({}, 'stop'),
    chunk({ choices: [], usage }),
    'data: [DONE]\n\n',
  ].join('');
}

function startVendor(): Promise<{ server: Server; url: string }> {
  const answer = vendorAnswer();
  return listen((request, response) => {
    request.resume();
    if (request.method === 'GET') response.end('{}');
    else response.writeHead(200, { 'content-type': 'text/event-stream' }).end(answer);
  });
}

function serviceToken(key: SigningKey): string {
  const encode = (value: object): string =>
    Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { ...serviceClaims(), nft_id: NFT_ID, community_id: COMMUNITY_ID };
  const input = `${encode({ alg: 'ES256', kid: key.kid })}.${encode(claims)}`;
  const options = { key: key.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return `${input}.${sign('sha256', Buffer.from(input), options).toString('base64url')}`;
}

/** User and system time so far; NaN where there is no `/proc`. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

async function round(
  url: string,
  key: SigningKey,
  pid: number,
  connections: number,
): Promise<Round> {
  const pool = new Pool(url, { connections });
  const body = JSON.stringify({ prompt: PROMPT, stream: true, max_tokens: 256 });
  const latencies: number[] = [];
  const caller = async (until: number): Promise<void> => {
    while (performance.now() < until) {
      const headers = {
        authorization: `Bearer ${serviceToken(key)}`,
        'content-type': 'application/json',
      };
      const at = performance.now();
      const response = await pool.request({ method: 'POST', path: INFERENCE_PATH, headers, body });
      const text = await response.body.text();
      latencies.push(performance.now() - at);
      if (response.statusCode !== 200 || !text.includes('"type":"done"')) {
        throw new Error(`answered ${String(response.statusCode)}`);
      }
    }
  };
  const callers = (until: number): Promise<unknown> =>
    Promise.all(Array.from({ length: connections }, () => caller(until)));
  await callers(performance.now() + 500);
  latencies.length = 0;
  const cpuBefore = await cpuMs(pid);
  const began = performance.now();
  await callers(began + seconds * 1000);
  const elapsedSeconds = (performance.now() - began) / 1000;
  const cpu = (await cpuMs(pid)) - cpuBefore;
  await pool.close();
  latencies.sort((a, b) => a - b);
  const quantile = (q: number) => latencies[Math.floor(latencies.length * q)] ?? Number.NaN;
  return {
    perSecond: latencies.length / elapsedSeconds,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    cpuMicros: (cpu * 1000) / latencies.length,
  };
}

async function prepareDatabase(adminUrl: string): Promise<string> {
  const passwords = Object.fromEntries(
    ['migrator', 'freeside_app', 'loa_finn_ro'].map((role) => [
      role,
      randomBytes(12).toString('hex'),
    ]),
  );
  const sqlFile = join(ROOT, 'migrations/bootstrap/roles.sql');
  await bootstrapRoles({ adminUrl, sqlFile, database: 'bench', passwords });
  const urlFor = (role: string): string => {
    const url = new URL(adminUrl);
    url.pathname = '/bench';
    url.username = role;
    url.password = passwords[role] ?? '';
    return url.href;
  };
  const url = urlFor('migrator');
  await migrate({ url, migrationsDir: join(ROOT, 'migrations'), direction: 'up' });
  const owner = createPool({ url, max: 1, applicationName: 'bench', onError: () => undefined });
  await owner.query(
    `INSERT INTO freeside.communities (id, slug, name, tier) VALUES ($1, 'bench', 'Bench', 'pro')`,
    [COMMUNITY_ID],
  );
  await owner.query(
    `INSERT INTO freeside.nfts (id, community_id, slug, tier, is_active)
     VALUES ($1, $2, 'bench', 'pro', true)`,
    [NFT_ID, COMMUNITY_ID],
  );
  await owner.query(`INSERT INTO freeside.nft_metadata (nft_id, metadata) VALUES ($1, $2)`, [
    NFT_ID,
    JSON.stringify({
      name: 'Stilgar',
      description: 'A naib of the deep desert who counts every drop.',
      attributes: [{ trait_type: 'Mood', value: 'stoic' }],
    }),
  ]);
  await owner.end();
  return urlFor('loa_finn_ro');
}

interface Backends {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly natsUrl: string;
  readonly jwksUrl: string;
  readonly vendorUrl: string;
}

async function startFinn(
  dir: string,
  backends: Backends,
): Promise<{ finn: SpawnedService; url: string }> {
  const target = {
    name: 'vendor',
    provider: 'openai-compatible',
    model: 'm',
    baseUrl: backends.vendorUrl,
  };
  const poolsFile = join(dir, 'pools.json');
  const pools = Object.fromEntries(POOLS.map((pool) => [pool, { targets: [target] }]));
  await writeFile(poolsFile, JSON.stringify({ pools }));
  const [port, adminPort] = [await findFreePort(), await findFreePort()];
  const finn = await spawnService({
    entry: join(ROOT, 'services/finn/src/main.ts'),
    readyUrl: `http://127.0.0.1:${String(adminPort)}/readyz`,
    env: {
      NODE_ENV: 'test',
      LOG_LEVEL: 'info',
      FINN_PORT: String(port),
      FINN_ADMIN_PORT: String(adminPort),
      DATABASE_URL: backends.databaseUrl,
      REDIS_URL: backends.redisUrl,
      NATS_URL: backends.natsUrl,
      JWKS_URL: backends.jwksUrl,
      FINN_POOLS_FILE: poolsFile,
      FINN_SPOOL_DIR: join(dir, 'spool'),
      ...(profileDir === undefined
        ? {}
        : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${resolve(profileDir)}` }),
    },
  });
  return { finn, url: `http://127.0.0.1:${String(port)}` };
}

function median(rounds: readonly Round[], of: keyof Round): number {
  const values = rounds.map((one) => one[of]).sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function measure(url: string, key: SigningKey, pid: number): Promise<void> {
  await round(url, key, pid, 16);
  console.log('connections  requests/s   p50 ms   p99 ms  finn CPU us/request');
  for (const connections of CONNECTIONS) {
    const rounds: Round[] = [];
    for (let index = 0; index < ROUNDS; index += 1) {
      rounds.push(await round(url, key, pid, connections));
    }
    const show = (of: keyof Round, digits: number, width: number) =>
      median(rounds, of).toFixed(digits).padStart(width);
    console.log(
      `${String(connections).padStart(11)}  ${show('perSecond', 0, 10)}  ${show('p50Ms', 2, 7)}  ${show('p99Ms', 2, 7)}  ${show('cpuMicros', 0, 19)}`,
    );
  }
}

const dir = await mkdtemp(join(tmpdir(), 'arrakis-bench-'));
const dataDir = join(dir, 'postgres');
const reaper = startReaper(dir);
const stops: (() => Promise<unknown>)[] = [];
try {
  const postgres = await startPostgres({ dataDir });
  stops.unshift(async () => {
    await postgres.stop();
    await removeClusterFiles(dataDir);
  });
  const redis = await startRedis({ dir: join(dir, 'redis') });
  stops.unshift(() => redis.stop());
  const nats = await startNats({ storeDir: join(dir, 'nats') });
  stops.unshift(() => nats.stop());
  const key = generateSigningKey(`bench-${randomUUID()}`);
  const jwks = await listen((_request, response) => {
    response.end(JSON.stringify({ keys: [key.publicJwk] }));
  });
  const vendor = await startVendor();
  stops.unshift(() => Promise.resolve(jwks.server.close()));
  stops.unshift(() => Promise.resolve(vendor.server.close()));
  const { finn, url } = await startFinn(dir, {
    databaseUrl: await prepareDatabase(postgres.url),
    redisUrl: redis.url,
    natsUrl: nats.url,
    jwksUrl: `${jwks.url}${JWKS_PATH}`,
    vendorUrl: `${vendor.url}/v1`,
  });
  stops.unshift(() => finn.stop());
  await measure(url, key, finn.pid);
} finally {
  for (const stop of stops) await stop();
  await reaper.dismiss();
  await rm(dir, { recursive: true, force: true });
}
