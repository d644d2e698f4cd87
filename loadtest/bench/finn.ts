import { randomUUID, sign } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { join, resolve } from 'node:path';
import { INFERENCE_PATH, JWKS_PATH, POOLS } from '@arrakis/contracts';
import { createPool } from '@arrakis/postgres';
import {
  createTestDatabase,
  findFreePort,
  generateSigningKey,
  serviceClaims,
  spawnService,
  type OwnBackends,
  type SigningKey,
  type SpawnedService,
} from '@arrakis/testkit';
import { Pool } from 'undici';
import { startProvider } from './contestants/provider.ts';
import { formatDirective } from './lib/directive.ts';
import { Meter } from './lib/meter.ts';
import { median, summarise } from './lib/statistics.ts';
import { withBackends } from './lib/with-backends.ts';

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
const WARM_UP_MS = 500;
const NFT_ID = '1:0x00000000000000000000000000000000000000aa:1';
const COMMUNITY_ID = '00000000-0000-7000-8000-000000000001';
const PROMPT =
  'Summarise in two sentences why a gateway should hold the worst-case cost of an answer before ' +
  'it asks the model, and settle to what was delivered afterwards.';
const DIRECTIVE = formatDirective({ delayMs: 0, tokens: 16, paceMs: 0 });

const seconds = Number(process.argv[2] ?? '5');
const profileDir = process.argv[3];

interface Round {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicros: number;
}

function serviceToken(key: SigningKey): string {
  const encode = (value: object): string =>
    Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { ...serviceClaims(), nft_id: NFT_ID, community_id: COMMUNITY_ID };
  const input = `${encode({ alg: 'ES256', kid: key.kid })}.${encode(claims)}`;
  const options = { key: key.privateKey, dsaEncoding: 'ieee-p1363' } as const;
  return `${input}.${sign('sha256', Buffer.from(input), options).toString('base64url')}`;
}

interface Subject {
  readonly url: string;
  readonly key: SigningKey;
  readonly pid: number;
}

async function round({ url, key, pid }: Subject, connections: number): Promise<Round> {
  const pool = new Pool(url, { connections });
  const body = JSON.stringify({ prompt: `${PROMPT} ${DIRECTIVE}`, stream: true, max_tokens: 256 });
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
        throw new Error(`answered ${response.statusCode}`);
      }
    }
  };
  const callers = (until: number): Promise<unknown> =>
    Promise.all(Array.from({ length: connections }, () => caller(until)));
  await callers(performance.now() + WARM_UP_MS);
  latencies.length = 0;
  const meter = new Meter({ finn: pid });
  await meter.begin();
  const began = performance.now();
  await callers(began + seconds * 1000);
  const elapsedSeconds = (performance.now() - began) / 1000;
  const { cpuMs } = await meter.end();
  await pool.close();
  const { count, p50Ms, p99Ms } = summarise(latencies);
  const cpuMicros = ((cpuMs.finn ?? Number.NaN) * 1000) / count;
  return { perSecond: count / elapsedSeconds, p50Ms, p99Ms, cpuMicros };
}

async function seedAgent(url: string): Promise<void> {
  const owner = createPool({ url, max: 1, applicationName: 'bench', onError: () => undefined });
  try {
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
  } finally {
    await owner.end();
  }
}

interface Surroundings {
  readonly backends: OwnBackends;
  readonly databaseUrl: string;
  readonly jwksUrl: string;
  readonly providerUrl: string;
}

async function startFinn(from: Surroundings): Promise<{ finn: SpawnedService; url: string }> {
  const { backends, databaseUrl, jwksUrl, providerUrl } = from;
  const target = {
    name: 'vendor',
    provider: 'openai-compatible',
    model: 'm',
    baseUrl: providerUrl,
  };
  const poolsFile = join(backends.runDir, 'pools.json');
  const pools = Object.fromEntries(POOLS.map((pool) => [pool, { targets: [target] }]));
  await writeFile(poolsFile, JSON.stringify({ pools }));
  const [port, adminPort] = [await findFreePort(), await findFreePort()];
  const finn = await spawnService({
    entry: join(ROOT, 'services/finn/src/main.ts'),
    readyUrl: `http://127.0.0.1:${adminPort}/readyz`,
    output: 'ignore',
    env: {
      NODE_ENV: 'production',
      LOG_LEVEL: 'info',
      FINN_PORT: String(port),
      FINN_ADMIN_PORT: String(adminPort),
      DATABASE_URL: databaseUrl,
      REDIS_URL: backends.redisUrl,
      NATS_URL: backends.natsUrl,
      JWKS_URL: jwksUrl,
      FINN_POOLS_FILE: poolsFile,
      FINN_SPOOL_DIR: join(backends.runDir, 'spool'),
      ...(profileDir === undefined
        ? {}
        : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${resolve(profileDir)}` }),
    },
  });
  return { finn, url: `http://127.0.0.1:${port}` };
}

async function serveKey(key: SigningKey): Promise<{ server: Server; url: string }> {
  const server = createServer((_request, response) => {
    response.end(JSON.stringify({ keys: [key.publicJwk] }));
  });
  const port = await findFreePort();
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
  return { server, url: `http://127.0.0.1:${port}${JWKS_PATH}` };
}

async function measure(subject: Subject): Promise<void> {
  await round(subject, 16);
  console.log('connections  requests/s   p50 ms   p99 ms  finn CPU us/request');
  for (const connections of CONNECTIONS) {
    const rounds: Round[] = [];
    for (let index = 0; index < ROUNDS; index += 1) {
      rounds.push(await round(subject, connections));
    }
    const show = (of: keyof Round, digits: number, width: number): string =>
      median(rounds.map((one) => one[of]))
        .toFixed(digits)
        .padStart(width);
    console.log(
      `${String(connections).padStart(11)}  ${show('perSecond', 0, 10)}  ${show('p50Ms', 2, 7)}  ${show('p99Ms', 2, 7)}  ${show('cpuMicros', 0, 19)}`,
    );
  }
}

async function run(backends: OwnBackends): Promise<void> {
  const key = generateSigningKey(`bench-${randomUUID()}`);
  const jwks = await serveKey(key);
  const provider = await startProvider();
  try {
    const database = await createTestDatabase(backends);
    await seedAgent(database.migratorUrl);
    const { finn, url } = await startFinn({
      backends,
      databaseUrl: database.finnUrl,
      jwksUrl: jwks.url,
      providerUrl: provider.baseUrl,
    });
    try {
      await measure({ url, key, pid: finn.pid });
    } finally {
      await finn.stop();
    }
  } finally {
    await provider.stop();
    jwks.server.close();
  }
}

await withBackends(run);
