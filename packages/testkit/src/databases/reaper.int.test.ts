import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { livingProcess } from '../backends/pid-file.ts';
import { waitFor } from '../processes/wait-for.ts';

let dir: string;
let runDir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'arrakis-reaper-'));
  runDir = join(dir, 'run');
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
await startRedis({ dir: runDir + '/redis' });
${end}`,
  );
  return spawn(process.execPath, [entry], { stdio: 'ignore' });
}

describe('the reaper', () => {
  it('ends the servers and removes their files when the run is killed', async () => {
    const run = await runner('setInterval(() => undefined, 1_000);');
    const redis = await waitFor(() => livingProcess(join(runDir, 'redis', 'redis.pid')));
    run.kill('SIGKILL');
    await waitFor(() => !existsSync(runDir));
    expect(() => process.kill(redis.pid, 0)).toThrow();
  });

  it('touches nothing when it was dismissed', async () => {
    const run = await runner('reaper.dismiss();');
    const redis = await waitFor(() => livingProcess(join(runDir, 'redis', 'redis.pid')));
    await waitFor(() => run.exitCode === 0);
    expect(existsSync(runDir)).toBe(true);
    expect(await livingProcess(join(runDir, 'redis', 'redis.pid'))).toEqual(redis);
    process.kill(redis.pid, 'SIGKILL');
  });
});
