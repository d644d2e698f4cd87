import { requiredSecretEnv } from './lib/env.ts';
import { migrateDown, migrateUp } from './lib/database.ts';
import { runScript, say } from './lib/entry.ts';
import { PlainError } from './lib/plain-error.ts';

const USAGE = [
  'usage: migrate.ts up          runs the migrations that are missing',
  '       migrate.ts down [n]    takes the last n back (1 unless said)',
  'MIGRATE_DATABASE_URL is the database, as its owner (role migrator).',
];

await runScript('migrate', async () => {
  const [direction, countText = '1', ...rest] = process.argv.slice(2);
  const count = /^[1-9]\d{0,3}$/.test(countText) ? Number(countText) : undefined;
  if (!['up', 'down'].includes(direction ?? '') || count === undefined || rest.length > 0) {
    throw new PlainError('what shall be done?', USAGE);
  }
  const url = requiredSecretEnv('MIGRATE_DATABASE_URL', 'the database, as role migrator');
  const ran = direction === 'up' ? await migrateUp(url, say) : await migrateDown(url, count, say);
  say(ran.length === 0 ? 'nothing to do' : `${String(ran.length)} migrations ${direction}`);
});
