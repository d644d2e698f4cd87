import { join } from 'node:path';
import { baseEnv } from '../../lib/env.ts';
import { PlainError } from '../../lib/plain-error.ts';
import { lastLines, run } from '../../lib/run.ts';
import type { Done } from '../report.ts';
import type { Folders } from '../stack.ts';

/** The key that signs service tokens: made once, its public half published in the database. */
export async function ensureSigningKey(folders: Folders, migratorUrl: string): Promise<Done<void>> {
  const result = await run(
    process.execPath,
    [join(folders.root, 'scripts/keys/s2s.ts'), 'bootstrap'],
    {
      cwd: folders.root,
      env: baseEnv({ DATABASE_URL: migratorUrl, S2S_KEY_STORE_DIR: folders.keys }),
    },
  );
  if (result.code !== 0) {
    throw new PlainError(`The signing key could not be prepared: ${lastLines(result.output, 5)}`);
  }
  return { did: lastLines(result.output, 1), value: undefined };
}
