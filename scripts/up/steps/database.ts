import { createPool, withTransaction } from '@arrakis/postgres';
import { join } from 'node:path';
import { bootstrapDatabase, DATABASE, migrateUp } from '../../lib/database.ts';
import { ensureDemoKey } from '../../lib/demo-key.ts';
import { DEMO_AGENTS, seedDemo } from '../../lib/demo.ts';
import type { Done, Progress } from '../report.ts';
import type { Folders } from '../stack.ts';
import type { LocalSecrets } from './secrets.ts';

/** Roles, database, and the migrations that are missing. */
export async function ensureDatabase(
  init: { adminUrl: string; migratorUrl: string; secrets: LocalSecrets },
  progress: Progress,
): Promise<Done<void>> {
  progress('roles and database');
  await bootstrapDatabase({
    adminUrl: init.adminUrl,
    database: DATABASE,
    passwords: {
      migrator: init.secrets.migratorPassword,
      freeside_app: init.secrets.freesidePassword,
      loa_finn_ro: init.secrets.finnPassword,
    },
  });
  const ran = await migrateUp(init.migratorUrl, progress);
  const did = ran.length === 0 ? 'up to date' : `${String(ran.length)} migrations ran`;
  return { did: `database ${DATABASE}, ${did}`, value: undefined };
}

export interface Demo {
  /** The demo community's API key, in clear. */
  readonly key: string;
  readonly keyFile: string;
}

/** The demo community with its agents, its credits (minted once) and its key. */
export async function ensureDemo(init: {
  migratorUrl: string;
  folders: Folders;
  secrets: LocalSecrets;
}): Promise<Done<Demo>> {
  const keyFile = join(init.folders.state, 'demo-key');
  const pool = createPool({
    url: init.migratorUrl,
    max: 2,
    applicationName: 'make up',
    onError: () => undefined,
  });
  try {
    const demo = await withTransaction(pool, seedDemo);
    const pepper = init.secrets.apiKeyPepper;
    const { key, created } = await ensureDemoKey(pool, demo, { file: keyFile, pepper });
    const agents = DEMO_AGENTS.map(({ slug }) => slug).join(' and ');
    const credits = demo.minted ? '$5.00 of credits minted' : 'credits as they were';
    return {
      did: `community demo: ${agents}, ${credits}, ${created ? 'a new key' : 'the same key'}`,
      value: { key, keyFile },
    };
  } finally {
    await pool.end();
  }
}
