export { withAdvisoryLock, type LockOutcome } from './advisory-lock.ts';
export { bootstrapRoles, type BootstrapOptions, type PasswordSource } from './bootstrap.ts';
export { isUnavailable, sqlState, violatedConstraint } from './errors.ts';
export { MigrationError, migrate, type MigrateOptions } from './migrate.ts';
export { createPool, repeatingLost, wasRepeated, type PoolOptions } from './pool.ts';
export type { Queryable } from './queryable.ts';
export { scramVerifier } from './scram.ts';
export { withTransaction } from './transaction.ts';
