import { createPool, withTransaction, type Queryable } from '@arrakis/postgres';
import {
  API_KEY_SCOPES,
  decideLimits,
} from '../../services/freeside/src/features/api-keys/api-key.domain.ts';
import {
  parseApiKey,
  type PresentedKey,
} from '../../services/freeside/src/features/api-keys/api-key-format.domain.ts';
import { KeyHasher } from '../../services/freeside/src/features/api-keys/key-hash.ts';
import { parsePeppers } from '../../services/freeside/src/features/api-keys/pepper.domain.ts';
import {
  insertKey,
  listKeys,
  revokeKey,
} from '../../services/freeside/src/features/api-keys/store.ts';
import { seedDemo, type SeededDemo } from '../lib/demo.ts';
import { requiredSecretEnv } from '../lib/env.ts';
import { runScript, say } from '../lib/entry.ts';
import { PlainError } from '../lib/plain-error.ts';

const KEY_NAME = 'demo key';

/**
 * Seeds the demo community with a key that exists already: in a cluster the Secret comes first, and
 * a Job that wrote one would need rights at the Kubernetes API.
 */
await runScript('seed', async () => {
  const url = requiredSecretEnv('MIGRATE_DATABASE_URL', 'the database, as role migrator');
  const key = parseApiKey(requiredSecretEnv('DEMO_API_KEY', 'the demo API key').trim());
  if (key === undefined) throw new PlainError('DEMO_API_KEY has not the form of an API key');
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
    const added = await withTransaction(pool, async (tx) => {
      const demo = await seedDemo(tx);
      return adoptKey(tx, demo, key, hasher);
    });
    say(`community demo is there, its key ${added ? 'was taken in' : 'is known'}`);
  } finally {
    await pool.end();
  }
});

/** @returns false when the key is the community's already */
async function adoptKey(
  tx: Queryable,
  demo: SeededDemo,
  key: PresentedKey,
  hasher: KeyHasher,
): Promise<boolean> {
  const owner = { communityId: demo.communityId, userId: demo.memberId, includeRevoked: false };
  const active = (await listKeys(tx, owner)).filter(({ name }) => name === KEY_NAME);
  if (active.some(({ keyPrefix }) => keyPrefix === key.keyPrefix)) return false;
  // Its Secret was lost: nobody can use it any more.
  for (const { keyId } of active) await revokeKey(tx, keyId);
  const decision = decideLimits(key.environment, {});
  if (!decision.ok) throw new PlainError(decision.detail);
  await insertKey(tx, {
    ...hasher.hash(key.secret),
    keyPrefix: key.keyPrefix,
    communityId: demo.communityId,
    userId: demo.memberId,
    name: KEY_NAME,
    scopes: API_KEY_SCOPES,
    limits: decision.limits,
  });
  return true;
}
