import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bootstrapRoles, createPool, migrate } from '@arrakis/postgres';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { removeClusterFiles, startPostgres, startReaper } from '@arrakis/testkit';
import { createReservationEvents } from '../../services/freeside/src/features/reservations/events.ts';
import { ReservationService } from '../../services/freeside/src/features/reservations/service.ts';

/**
 * Holds and settlements on one account: closed loop, one process, a durable PostgreSQL of its own.
 * `node loadtest/bench/ledger.ts [seconds per round]`. Prints pairs/s and latencies of the hold,
 * medians over three rounds; the CPU time is this process's alone.
 */

const ROOT = resolve(import.meta.dirname, '../..');
const ROUNDS = 3;
const CALLERS = [1, 16, 64, 256];
const seconds = Number(process.argv[2] ?? '4');

interface Round {
  readonly pairsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicrosPerPair: number;
}

async function round(
  service: ReservationService,
  account: Account,
  callers: number,
): Promise<Round> {
  const latencies: number[] = [];
  const until = performance.now() + seconds * 1000;
  const cpuBefore = process.cpuUsage();
  const began = performance.now();
  const settling: Promise<void>[] = [];
  const caller = async (): Promise<void> => {
    while (performance.now() < until) {
      const reservationId = randomUUID();
      const at = performance.now();
      const decision = await service.reserve({
        reservationId,
        ...account,
        nftId: 'bench',
        pool: 'cheap',
        promptTokens: 500,
        maxTokens: 500,
      });
      latencies.push(performance.now() - at);
      if (!decision.accepted) throw new Error(`refused: ${decision.code}`);
      settling.push(
        service.settle({
          reservationId,
          carrier: 'done_event',
          promptTokens: 200,
          completionTokens: 300,
          poolUsed: 'cheap',
          model: 'bench',
          personalityId: 'bench',
          latencyMs: 1,
        }),
      );
      if (settling.length > 2_000) await Promise.all(settling.splice(0));
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  await Promise.all(settling);
  const elapsedSeconds = (performance.now() - began) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  latencies.sort((a, b) => a - b);
  const quantile = (q: number) => latencies[Math.floor(latencies.length * q)] ?? Number.NaN;
  return {
    pairsPerSecond: latencies.length / elapsedSeconds,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    cpuMicrosPerPair: (cpu.user + cpu.system) / latencies.length,
  };
}

interface Account {
  readonly communityId: string;
  readonly apiKeyId: string;
}

async function openAccount(url: string): Promise<Account> {
  const owner = createPool({ url, max: 1, applicationName: 'bench', onError: () => undefined });
  const [communityId, member, apiKeyId] = [randomUUID(), randomUUID(), randomUUID()];
  await owner.query(
    `INSERT INTO freeside.communities (id, slug, name, tier) VALUES ($1, 'bench', 'Bench', 'pro')`,
    [communityId],
  );
  await owner.query(
    `INSERT INTO freeside.community_members (id, community_id, display_name) VALUES ($1, $2, 'b')`,
    [member, communityId],
  );
  await owner.query(
    `INSERT INTO freeside.api_keys (id, user_id, community_id, key_prefix, key_hash, key_salt,
       pepper_version, name, rate_limit_rpm, rate_limit_tpd)
     VALUES ($1, $2, $3, 'lf_live_aaaaaaaaaaaa', $4, $5, 1, 'b', 2000000000, 9000000000000000)`,
    [apiKeyId, member, communityId, Buffer.alloc(32), Buffer.alloc(16)],
  );
  await owner.query(`SELECT freeside.mint_lot($1, 1000000000000000, 'grant', 'bench', NULL)`, [
    communityId,
  ]);
  await owner.end();
  return { communityId, apiKeyId };
}

function median(rounds: readonly Round[], of: keyof Round): number {
  const values = rounds.map((one) => one[of]).sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)] ?? Number.NaN;
}

const dir = await mkdtemp(join(tmpdir(), 'arrakis-bench-'));
const dataDir = join(dir, 'postgres');
const reaper = startReaper(dir);
const postgres = await startPostgres({ dataDir });
try {
  const passwords = Object.fromEntries(
    ['migrator', 'freeside_app', 'loa_finn_ro'].map((role) => [
      role,
      randomBytes(12).toString('hex'),
    ]),
  );
  await bootstrapRoles({
    adminUrl: postgres.url,
    sqlFile: join(ROOT, 'migrations/bootstrap/roles.sql'),
    database: 'bench',
    passwords,
  });
  const urlFor = (role: string): string => {
    const url = new URL(postgres.url);
    url.pathname = '/bench';
    url.username = role;
    url.password = passwords[role] ?? '';
    return url.href;
  };
  await migrate({
    url: urlFor('migrator'),
    migrationsDir: join(ROOT, 'migrations'),
    direction: 'up',
  });
  const account = await openAccount(urlFor('migrator'));
  const db = createPool({
    url: urlFor('freeside_app'),
    max: 4,
    applicationName: 'bench',
    onError: () => undefined,
  });
  const service = new ReservationService({
    db,
    events: createReservationEvents(
      createRegistry('bench'),
      createLogger({ service: 'bench', level: 'silent' }),
    ),
  });
  await round(service, account, 16);
  console.log('callers  pairs/s  hold p50 ms  hold p99 ms  CPU us/pair');
  for (const callers of CALLERS) {
    const rounds: Round[] = [];
    for (let index = 0; index < ROUNDS; index += 1) {
      rounds.push(await round(service, account, callers));
    }
    const show = (of: keyof Round, digits: number) => median(rounds, of).toFixed(digits);
    console.log(
      `${String(callers).padStart(7)}  ${show('pairsPerSecond', 0).padStart(7)}  ${show('p50Ms', 2).padStart(11)}  ${show('p99Ms', 2).padStart(11)}  ${show('cpuMicrosPerPair', 0).padStart(11)}`,
    );
  }
  await db.end();
} finally {
  await postgres.stop();
  await removeClusterFiles(dataDir);
  await rm(dir, { recursive: true, force: true });
  await reaper.dismiss();
}
