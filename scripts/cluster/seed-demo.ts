import { createPool, withTransaction } from '@arrakis/postgres';
import {
  parseApiKey,
  type PresentedKey,
} from '../../services/freeside/src/features/api-keys/api-key-format.domain.ts';
import { KeyHasher } from '../../services/freeside/src/features/api-keys/key-hash.ts';
import { parsePeppers } from '../../services/freeside/src/features/api-keys/pepper.domain.ts';
import { seedDemo } from '../lib/demo.ts';
import { optionalSecretEnv, requiredSecretEnv } from '../lib/env.ts';
import { runScript, say } from '../lib/entry.ts';
import { PlainError } from '../lib/plain-error.ts';
import { adoptKey } from './adopt-key.ts';
import { LOAD_LIMITS, seedLoadCommunity } from './load-community.ts';

/** Seeds the demo community with its key and, where there is a key for it, the one for load tests. */
await runScript('seed', async () => {
  const url = requiredSecretEnv('MIGRATE_DATABASE_URL', 'the database, as role migrator');
  const demoKey = keyOf('DEMO_API_KEY', requiredSecretEnv('DEMO_API_KEY', 'the demo API key'));
  const loadText = optionalSecretEnv('LOAD_API_KEY');
  const loadKey = loadText === undefined ? undefined : keyOf('LOAD_API_KEY', loadText);
  const hasher = new KeyHasher(parsePeppers(requiredSecretEnv('API_KEY_PEPPER', 'hashes it')));
  const pool = createPool({
    url,
    max: 1,
    applicationName: 'seed',
    onError: (error) => {
      process.stderr.write(`seed: ${error.message}\n`);
    },
  });
  try {
    await withTransaction(pool, async (tx) => {
      // First, for its lock: two seeds at once wait for each other.
      const demo = await seedDemo(tx);
      const given = { name: 'demo key', key: demoKey, limits: {}, hasher };
      report('demo', await adoptKey(tx, demo, given));
      if (loadKey === undefined) return;
      const load = await seedLoadCommunity(tx);
      const wide = { name: 'load key', key: loadKey, limits: LOAD_LIMITS, hasher };
      report('load', await adoptKey(tx, load, wide));
    });
  } finally {
    await pool.end();
  }
});

function keyOf(variable: string, text: string): PresentedKey {
  const key = parseApiKey(text.trim());
  if (key === undefined) throw new PlainError(`${variable} has not the form of an API key`);
  return key;
}

function report(community: string, added: boolean): void {
  say(`community ${community} is there, its key ${added ? 'was taken in' : 'is known'}`);
}
