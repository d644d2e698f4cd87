import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { removeClusterFiles } from '@arrakis/testkit';
import { flagEnv } from '../../lib/env.ts';
import { PlainError } from '../../lib/plain-error.ts';
import type { Report } from '../report.ts';
import { makeFolders, type Folders } from '../stack.ts';
import { withLock } from '../state.ts';
import { stopAll } from './down.ts';

/** Expensive to fetch and not anybody's data. */
const KEPT = new Set(['models', 'bin', 'lock']);

/** Stops everything and deletes databases, streams, keys, secrets and logs, after a question. */
export async function reset(folders: Folders, report: Report): Promise<void> {
  if (!existsSync(folders.state)) {
    report.print('There is nothing to delete.');
    return;
  }
  if (!(await confirmed(report))) {
    report.print('Nothing was deleted.');
    return;
  }
  makeFolders(folders);
  await withLock(folders, async () => {
    await stopAll(folders, report);
    // PostgreSQL's files may lie elsewhere, where the user that runs it can reach them.
    await removeClusterFiles(join(folders.data, 'postgres'));
    for (const entry of readdirSync(folders.state)) {
      if (!KEPT.has(entry)) rmSync(join(folders.state, entry), { recursive: true, force: true });
    }
  });
  report.print('Deleted. The model and downloaded programs are kept in .arrakis.');
}

async function confirmed(report: Report): Promise<boolean> {
  if (flagEnv('FORCE')) return true;
  if (!process.stdin.isTTY) {
    throw new PlainError('make reset asks first, and nobody is there to answer.', [
      'In a script say: FORCE=1 make reset',
    ]);
  }
  report.print('This stops everything and deletes the local databases, streams, keys and logs.');
  const prompt = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await prompt.question('Delete them? [y/N] ')).trim());
  } finally {
    prompt.close();
  }
}
