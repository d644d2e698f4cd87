import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive, livingProcess, readPidFile } from '../backends/pid-file.ts';
import { waitFor } from '../processes/wait-for.ts';

let dir: string;
let runDir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'arrakis-reaper-'));
  runDir = join(dir, 'run');
  await mkdir(runDir);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

/** A process that starts a Redis under a reaper and then stays, or goes in good order. */
async function runner(end: string): Promise<ReturnType<typeof spawn>> {
  const source = resolve(import.meta.dirname, '..');
  const entry = join(dir, 'main.ts');
  await writeFile(
    entry,
    `import { startRedis } from ${JSON.stringify(join(source, 'backends/redis.ts'))};
import { startReaper } from ${JSON.stringify(join(source, 'databases/reaper.ts'))};
const runDir = ${JSON.stringify(runDir)};
const reaper = startReaper(runDir);
const redis = await startRedis({ dir: ${JSON.stringify(join(dir, 'redis'))} });
${end}`,
  );
  return spawn(process.execPath, [entry], { stdio: 'ignore' });
}

describe('the reaper', () => {
  it('ends the servers and removes their files when the run is killed', async () => {
    const run = await runner('setInterval(() => undefined, 1_000);');
    const redis = await waitFor(() => livingProcess(join(dir, 'redis', 'redis.pid')));
    run.kill('SIGKILL');
    await waitFor(() => !existsSync(runDir));
    expect(await isAlive(redis)).toBe(false);
  });

  it('ends a server whose files were removed under it', async () => {
    const run = await runner('setInterval(() => undefined, 1_000);');
    const redis = await waitFor(() => livingProcess(join(dir, 'redis', 'redis.pid')));
    await rm(join(dir, 'redis'), { recursive: true });
    run.kill('SIGKILL');
    await waitFor(() => !existsSync(runDir));
    expect(await isAlive(redis)).toBe(false);
  });

  it('leaves the files alone when it was dismissed, and nothing running', async () => {
    const run = await runner('process.exitCode = await reaper.dismiss();');
    await waitFor(() => run.exitCode !== null);
    expect(run.exitCode).toBe(1);
    expect(existsSync(runDir)).toBe(true);
    expect(await readPidFile(join(dir, 'redis', 'redis.pid'))).toBeDefined();
    expect(await livingProcess(join(dir, 'redis', 'redis.pid'))).toBeUndefined();
  });

  it('does not mind what was stopped in good order', async () => {
    const run = await runner('await redis.stop(); process.exitCode = await reaper.dismiss();');
    await waitFor(() => run.exitCode !== null);
    expect(run.exitCode).toBe(0);
  });
});
