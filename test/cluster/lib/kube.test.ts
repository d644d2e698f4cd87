import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Kube } from './kube.ts';

const path = process.env.PATH ?? '';
let dir: string;
/** One line a run. */
let runs: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'arrakis-kubectl-'));
  runs = join(dir, 'runs');
  process.env.PATH = `${dir}:${path}`;
});
afterEach(async () => {
  process.env.PATH = path;
  await rm(dir, { recursive: true, force: true });
});

/** What stands for kubectl: a script of the shell, which finds its arguments noted in `runs`. */
async function kubectlDoes(script: string): Promise<void> {
  const file = join(dir, 'kubectl');
  await writeFile(file, `#!/bin/sh\necho "$*" >> '${runs}'\n${script}\n`);
  await chmod(file, 0o755);
}

const noted = async (): Promise<string[]> => (await readFile(runs, 'utf8')).trim().split('\n');

describe('exec', () => {
  it('gives up a stream that never ends and runs the command once more, with its input', async () => {
    await kubectlDoes(
      `if [ "$(wc -l < '${runs}')" -eq 1 ]; then exec sleep 600; fi; printf 'said '; cat`,
    );
    const kube = new Kube('none', 'here');
    expect(await kube.exec(['-i', 'pod', '--', 'cat'], { input: 'this' })).toBe('said this');
    expect(await noted()).toEqual(Array(2).fill('-n here exec -i pod -- cat'));
  });

  it('fails when the second run does, too', async () => {
    await kubectlDoes('echo "no such pod" >&2; exit 1');
    await expect(new Kube('none', 'here').exec(['pod', '--', 'ls'])).rejects.toThrow('no such pod');
    expect(await noted()).toHaveLength(2);
  });
});
