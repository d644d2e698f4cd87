import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  startNats,
  startPostgres,
  startRedis,
  waitFor,
  type BackendProcess,
  type OwnBackends,
} from '@arrakis/testkit';
import { askRedis } from './redis-command.ts';

/** Servers that die and come back on the same ports. Each `start` resolves when it answers. */
export interface BackendControl {
  /** Immediate stop: sessions are dropped in the middle of whatever they do; then recovery. */
  crashPostgres(): Promise<void>;
  startPostgres(): Promise<void>;
  killRedis(): Promise<void>;
  /** Empty: it keeps nothing on disk. */
  startRedis(): Promise<void>;
  /** FLUSHALL. */
  flushRedis(): Promise<void>;
  killNats(): Promise<void>;
  /** As when the volume is lost. Only while it is down. */
  wipeNats(): Promise<void>;
  startNats(): Promise<void>;
  stopAll(): Promise<void>;
}

const DIE_WITHIN_MS = 10_000;

export function controlBackends(backends: OwnBackends, durable: boolean): BackendControl {
  const { dirs } = backends;
  let postgres: BackendProcess = backends.postgres;
  let redis: BackendProcess = backends.redis;
  let nats: BackendProcess = backends.nats;
  return {
    async crashPostgres() {
      // What `pg_ctl stop -m immediate` sends.
      process.kill(postgres.pid, 'SIGQUIT');
      await waitFor(() => !isRunning(postgres.pid), {
        timeoutMs: DIE_WITHIN_MS,
        what: 'the end of PostgreSQL',
      });
    },
    async startPostgres() {
      const { port } = backends.postgres;
      postgres = await startPostgres({ dataDir: dirs.postgres, port, durable });
    },
    killRedis: () => redis.kill(),
    async startRedis() {
      redis = await startRedis({ dir: dirs.redis, port: backends.redis.port });
    },
    flushRedis: () => flushAll(backends.redisUrl),
    killNats: () => nats.kill(),
    wipeNats: () => rm(join(dirs.nats, 'jetstream'), { recursive: true, force: true }),
    async startNats() {
      const { port, monitorPort } = backends.nats;
      nats = await startNats({ storeDir: dirs.nats, port, monitorPort });
    },
    async stopAll() {
      await Promise.all([postgres, redis, nats].map((server) => server.stop()));
    },
  };
}

async function flushAll(url: string): Promise<void> {
  const answer = await askRedis(url, 'FLUSHALL');
  if (answer !== '+OK') throw new Error(`Redis refused: ${answer}`);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
