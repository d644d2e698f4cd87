import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { optionalEnv } from './env.ts';
import { PlainError } from './plain-error.ts';

const VERSION = 'v1.8.1';

/**
 * The load generator: on PATH, or where LAB_DIR keeps its programs.
 *
 * @throws PlainError that says how to install it.
 */
export function locateK6(): string {
  const lab = optionalEnv('LAB_DIR') ?? join(homedir(), '.cache', 'lab');
  const folders = [...(optionalEnv('PATH') ?? '').split(delimiter), join(lab, 'bin')];
  const found = folders.map((folder) => join(folder, 'k6')).find(isExecutable);
  if (found !== undefined) return found;
  throw new PlainError('k6, which makes the load, is not here.', [
    'macOS: brew install k6',
    `With Go 1.24 or newer: go install go.k6.io/k6@${VERSION}, and have its folder on PATH.`,
    `Or take the image grafana/k6:${VERSION.slice(1)}; docs/load-tests.md says how.`,
  ]);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
