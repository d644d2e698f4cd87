import { readdir } from 'node:fs/promises';
import { resolve } from 'node:path';

const MIGRATIONS_DIR = resolve(import.meta.dirname, '../../migrations');
const FILE = /^(\d{3}_[a-z0-9_]+)\.sql$/;

/** Names of the image's migrations, in their order, as the table of migrations has them. */
export async function migrationNames(): Promise<string[]> {
  const files = await readdir(MIGRATIONS_DIR);
  return files
    .map((file) => FILE.exec(file)?.[1])
    .filter((name) => name !== undefined)
    .sort();
}
