export {
  findBackend,
  startBackend,
  type BackendProcess,
  type BackendSpec,
} from './backends/backend.ts';
export { removeClusterFiles } from './backends/data-directory.ts';
export { BackendStartError, DiskFullError, PortBusyError } from './backends/errors.ts';
export { findFreePort, isPortFree } from './backends/free-port.ts';
export { NATS_PID_FILE, startNats, type NatsOptions, type RunningNats } from './backends/nats.ts';
export {
  isAlive,
  livingProcess,
  readPidFile,
  removePidFile,
  writePidFile,
  type PidRecord,
} from './backends/pid-file.ts';
export {
  POSTGRES_PID_FILE,
  startPostgres,
  type PostgresOptions,
  type RunningPostgres,
} from './backends/postgres.ts';
export {
  REDIS_PID_FILE,
  startRedis,
  type RedisOptions,
  type RunningRedis,
} from './backends/redis.ts';
export { keptSecret } from './backends/secret-file.ts';
export { signalProcess, terminate, waitForExit } from './backends/terminate.ts';
export { locateNats } from './binaries/locate-nats.ts';
export { locatePostgres } from './binaries/locate-postgres.ts';
export { locateRedis } from './binaries/locate-redis.ts';
export { MissingToolError } from './binaries/missing-tool-error.ts';
export type { Progress } from './binaries/progress.ts';
