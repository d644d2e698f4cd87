import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startOwnBackends } from './backends/own-backends.ts';
import { startReaper } from './databases/reaper.ts';
import type { TestBackends } from './databases/test-backends.ts';

interface Run {
  readonly backends: TestBackends;
  stop(): Promise<void>;
}

/** Several vitest projects of one run load this module apart from each other and share this. */
interface SharedRun {
  users: number;
  readonly run: Promise<Run>;
}
const shared = globalThis as { arrakisTestRun?: SharedRun | undefined };

export async function setup(project: TestProject): Promise<void> {
  shared.arrakisTestRun ??= { users: 0, run: startRun() };
  const { arrakisTestRun } = shared;
  arrakisTestRun.users += 1;
  project.provide('backends', (await arrakisTestRun.run).backends);
}

export async function teardown(): Promise<void> {
  const { arrakisTestRun } = shared;
  if (arrakisTestRun === undefined) return;
  arrakisTestRun.users -= 1;
  if (arrakisTestRun.users > 0) return;
  shared.arrakisTestRun = undefined;
  await (await arrakisTestRun.run).stop();
}

async function startRun(): Promise<Run> {
  const runDir = await mkdtemp(join(tmpdir(), 'arrakis-test-'));
  // PostgreSQL's own user passes through; the secrets below it have their own modes.
  await chmod(runDir, 0o711);
  const reaper = startReaper(runDir);
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(stops.map((end) => end()));
    const left = await reaper.dismiss();
    if (left > 0) {
      process.stderr.write(
        `[testkit] ended ${String(left)} server(s) that tests had left running\n`,
      );
    }
    await rm(runDir, { recursive: true, force: true });
  };
  try {
    const own = await startOwnBackends({
      runDir,
      durable: false,
      onStarted: (server) => stops.push(() => server.stop()),
    });
    const { adminUrl, templateDatabase, passwords, redisUrl, natsUrl } = own;
    // Only what can be handed to another process.
    const backends = { adminUrl, templateDatabase, passwords, redisUrl, natsUrl, runDir };
    return { backends, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
