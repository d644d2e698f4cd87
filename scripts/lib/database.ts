import { join, resolve } from 'node:path';
import { bootstrapRoles, migrate } from '@arrakis/postgres';

const MIGRATIONS_DIR = resolve(import.meta.dirname, '../../migrations');

/** The one database of the platform on its server. */
export const DATABASE = 'arrakis';

/** Passwords of the roles, by role. */
export interface RolePasswords {
  readonly migrator: string;
  readonly freeside_app: string;
  readonly loa_finn_ro: string;
  /** Of the controller; without one the role can't log in. */
  readonly jwks_writer?: string;
}

/** Roles, their passwords, the database; safe to run again. `adminUrl` is an administrator's. */
export async function bootstrapDatabase(init: {
  adminUrl: string;
  database: string;
  passwords: RolePasswords;
}): Promise<void> {
  await bootstrapRoles({
    ...init,
    passwords: { ...init.passwords },
    sqlFile: join(MIGRATIONS_DIR, 'bootstrap', 'roles.sql'),
  });
}

/** Runs what is missing; returns the names of the files that ran. */
export function migrateUp(url: string, log?: (line: string) => void): Promise<string[]> {
  return migrate({
    url,
    migrationsDir: MIGRATIONS_DIR,
    direction: 'up',
    ...(log === undefined ? {} : { log }),
  });
}

/** Takes the last `count` files back. */
export function migrateDown(
  url: string,
  count: number,
  log: (line: string) => void,
): Promise<string[]> {
  return migrate({ url, migrationsDir: MIGRATIONS_DIR, direction: 'down', count, log });
}
