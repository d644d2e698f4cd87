export {
  startAdminServer,
  type AdminServer,
  type AdminServerOptions,
  type HealthCheck,
} from './admin-server.ts';
export { EnvError, SecretString, loadEnv, type EnvFault, type SecretStringOptions } from './env.ts';
export { describeEnv } from './env-document.ts';
export { signEs256, verifyEs256 } from './es256.ts';
export { createHttpApp, type HttpAppOptions } from './http/app.ts';
export { headerText } from './http/header-text.ts';
export { errorResponses } from './http/problem-schemas.ts';
export { createHttpMetrics, type WideFields } from './http/observe.ts';
export { createLifecycle, type Lifecycle } from './lifecycle.ts';
export { createLogger, describeError, type Logger, type LogLevel } from './logger.ts';
export { toOpenAiError, type OpenAiError } from './openai-error.ts';
export { observeDatabasePool, type DatabasePoolCounts } from './observe-database-pool.ts';
export { ProblemError, type ProblemErrorInit } from './problem-error.ts';
export { renderProblem, type Envelope, type RenderedProblem } from './problem-render.ts';
export { createRegistry } from './registry.ts';
export { runService, type RunServiceOptions, type RunningService } from './run-service.ts';
export { Secret } from './secret.ts';
export { serviceVersion } from './service-version.ts';
export { headersOf, toProblem } from './to-problem.ts';
export { createUuidv7, uuidv7 } from './uuidv7.ts';
export {
  COMMON_VARIABLES,
  FLAGS_DIR_VARIABLE,
  NATS_STREAM_REPLICAS_VARIABLE,
  durationVariable,
  portVariable,
} from './variables.ts';
