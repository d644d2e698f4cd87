import { execFile } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { locateRedis, type OwnBackends } from '@arrakis/testkit';
import { Client } from 'pg';
import { peerVersion } from '../contestants/peer.ts';
import type { Row } from './row.ts';

const run = promisify(execFile);

/** Raised when old results can't be compared with new ones. */
export const FORMAT = 1;

/** Everything that one run has found; what `--compare` reads. */
export interface BenchDocument {
  readonly format: number;
  /** ISO 8601, UTC. */
  readonly date: string;
  readonly kind: 'full' | 'quick' | 'partial';
  readonly rounds: number;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly memoryGib: number };
  readonly versions: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
}

export function describeMachine(): BenchDocument['machine'] {
  const [first] = cpus();
  return {
    cpu: first?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 1024 ** 3),
  };
}

/** Of everything that takes part, asked from what runs. */
export async function readVersions(backends: OwnBackends): Promise<Record<string, string>> {
  return {
    arrakis: await commit(),
    node: process.versions.node,
    postgresql: await postgresVersion(backends.adminUrl),
    redis: await redisVersion(),
    nats: await natsVersion(backends.nats.monitorPort),
    portkey: await peerVersion().catch(() => 'absent'),
    linux: release(),
  };
}

/** With `+` when the tree has changes. */
async function commit(): Promise<string> {
  const git = async (...args: string[]): Promise<string> =>
    (await run('git', args, { cwd: import.meta.dirname })).stdout.trim();
  try {
    const changes = await git('status', '--porcelain', '--untracked-files=no');
    return (await git('rev-parse', '--short', 'HEAD')) + (changes === '' ? '' : '+');
  } catch {
    return 'unknown';
  }
}

async function postgresVersion(url: string): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    return rows[0]?.server_version.split(' ')[0] ?? 'unknown';
  } finally {
    await client.end();
  }
}

async function redisVersion(): Promise<string> {
  const { stdout } = await run(await locateRedis(), ['--version']);
  return /v=(\S+)/.exec(stdout)?.[1] ?? 'unknown';
}

async function natsVersion(monitorPort: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${monitorPort}/varz`);
  return ((await response.json()) as { version?: string }).version ?? 'unknown';
}
