import { createPool, withTransaction } from '@arrakis/postgres';
import { ensureDemoKey } from './lib/demo-key.ts';
import { DEMO_AGENTS, DEMO_CREDITS_MICRO, seedDemo, type SeededDemo } from './lib/demo.ts';
import { requiredEnv, requiredSecretEnv } from './lib/env.ts';
import { runScript, say } from './lib/entry.ts';

/** Seeds the demo community and its key; see `make up` and docker-compose.yml. */
await runScript('seed', async () => {
  const url = requiredSecretEnv('MIGRATE_DATABASE_URL', 'the database, as role migrator');
  const file = requiredEnv('DEMO_KEY_FILE', 'where the demo API key is kept');
  const pepper = requiredSecretEnv('API_KEY_PEPPER', 'hashes the demo API key');
  const pool = createPool({
    url,
    max: 2,
    applicationName: 'seed',
    onError: (error) => {
      process.stderr.write(`seed: ${error.message}\n`);
    },
  });
  try {
    const demo: SeededDemo = await withTransaction(pool, seedDemo);
    const { created } = await ensureDemoKey(pool, demo, { file, pepper });
    say(`community demo with ${DEMO_AGENTS.map(({ slug }) => slug).join(' and ')}`);
    say(demo.minted ? `minted ${String(DEMO_CREDITS_MICRO)} micro-credits` : 'credits as before');
    say(`key ${created ? 'written to' : 'kept in'} ${file}`);
  } finally {
    await pool.end();
  }
});
