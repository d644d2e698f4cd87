/** Passwords of the least-privilege roles, the same in every test database. */
export interface RolePasswords {
  readonly migrator: string;
  readonly freeside_app: string;
  readonly loa_finn_ro: string;
  readonly jwks_writer: string;
}

/** What the global setup hands to every test file: `inject('backends')`. */
export interface TestBackends {
  /** Superuser, database `postgres`. */
  readonly adminUrl: string;
  /** Migrated, without rows; accepts no connections, only clones. */
  readonly templateDatabase: string;
  readonly passwords: RolePasswords;
  /** Password in the URL; database 0, which belongs to the testkit: see `createTestRedis`. */
  readonly redisUrl: string;
  readonly natsUrl: string;
  /** Removed at the end of the run. What was started during it is ended, wherever it lies. */
  readonly runDir: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    backends: TestBackends;
  }
}

/** Only inside a test file of a project that has the global setup. */
export async function providedBackends(): Promise<TestBackends> {
  // Imported here: outside a test run vitest can't be loaded at all, and `make up` uses the testkit.
  const { inject } = await import('vitest');
  return inject('backends');
}
