import { optionalEnv, optionalSecretEnv, requiredSecretEnv } from './lib/env.ts';
import { bootstrapDatabase, DATABASE } from './lib/database.ts';
import { runScript, say } from './lib/entry.ts';
import { PlainError } from './lib/plain-error.ts';

const USAGE = [
  'usage: database.ts bootstrap',
  'Makes the roles, sets their passwords and creates the database; safe to run again.',
  'ADMIN_DATABASE_URL          the server, as an administrator',
  'DATABASE_NAME               the database to create (arrakis unless said)',
  'MIGRATOR_PASSWORD, FREESIDE_APP_PASSWORD, LOA_FINN_RO_PASSWORD',
  'JWKS_WRITER_PASSWORD        of the controller; only where one runs',
  'Each secret may also come from a file: NAME_FILE.',
];

await runScript('database', async () => {
  const [command, ...rest] = process.argv.slice(2);
  if (command !== 'bootstrap' || rest.length > 0) {
    throw new PlainError('what shall be done?', USAGE);
  }
  const jwksWriter = optionalSecretEnv('JWKS_WRITER_PASSWORD');
  const database = optionalEnv('DATABASE_NAME') ?? DATABASE;
  await bootstrapDatabase({
    adminUrl: requiredSecretEnv('ADMIN_DATABASE_URL', 'the server, as an administrator'),
    database,
    passwords: {
      migrator: requiredSecretEnv('MIGRATOR_PASSWORD', 'password of role migrator'),
      freeside_app: requiredSecretEnv('FREESIDE_APP_PASSWORD', 'password of role freeside_app'),
      loa_finn_ro: requiredSecretEnv('LOA_FINN_RO_PASSWORD', 'password of role loa_finn_ro'),
      ...(jwksWriter === undefined ? {} : { jwks_writer: jwksWriter }),
    },
  });
  say(`roles and database ${database} are ready`);
});
