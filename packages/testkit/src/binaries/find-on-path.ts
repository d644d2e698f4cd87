import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/** Where Debian and Homebrew put servers; a non-root or minimal PATH often lacks them. */
const USUAL_DIRECTORIES = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/opt/homebrew/bin',
];

/** The first executable file of that name on PATH or in the usual directories. */
export async function findOnPath(name: string): Promise<string | undefined> {
  const fromPath = (process.env.PATH ?? '').split(delimiter).filter((part) => part !== '');
  for (const directory of [...fromPath, ...USUAL_DIRECTORIES]) {
    const candidate = join(directory, name);
    if (await isExecutableFile(candidate)) return candidate;
  }
  return undefined;
}

export async function isExecutableFile(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
