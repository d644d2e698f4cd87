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
  startOwnBackends,
  type OwnBackends,
  type OwnBackendsOptions,
} from './backends/own-backends.ts';
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
  startPrometheus,
  type PrometheusOptions,
  type RunningPrometheus,
} from './backends/prometheus.ts';
export {
  REDIS_PID_FILE,
  startRedis,
  type RedisOptions,
  type RunningRedis,
} from './backends/redis.ts';
export { keptSecret } from './backends/secret-file.ts';
export { signalProcess, terminate, waitForExit } from './backends/terminate.ts';
export { localModelDir } from './binaries/local-model-dir.ts';
export { locateNats } from './binaries/locate-nats.ts';
export { locatePostgres } from './binaries/locate-postgres.ts';
export { locatePrometheus, type PrometheusBinaries } from './binaries/locate-prometheus.ts';
export { locateRedis } from './binaries/locate-redis.ts';
export { locateSchemathesis, type Schemathesis } from './binaries/locate-schemathesis.ts';
export { MissingToolError } from './binaries/missing-tool-error.ts';
export type { Progress } from './binaries/progress.ts';
export { providedBackends, type TestBackends } from './databases/test-backends.ts';
export { startReaper, type Reaper } from './databases/reaper.ts';
export { createTestDatabase, type TestDatabase } from './databases/test-database.ts';
export { createTestNats, type TestNats } from './databases/test-nats.ts';
export { createTestRedis, type TestRedis } from './databases/test-redis.ts';
export {
  startFakeAnthropic,
  type FakeAnthropic,
  type FakeAnthropicOptions,
} from './fakes/fake-anthropic.ts';
export { startFakeOpenAI, type FakeOpenAI, type FakeOpenAIOptions } from './fakes/fake-openai.ts';
export {
  startOtlpCollector,
  type CollectorAnswer,
  type OtlpCollector,
} from './fakes/otlp-collector.ts';
export type { CollectedAttributes, CollectedSpan, CollectedValue } from './fakes/otlp-spans.ts';
export type { RecordedRequest, RequestOutcome, Scenario, Step } from './fakes/scenario.ts';
export {
  startFakeNowPayments,
  type FakeNowPayments,
  type FakeNowPaymentsOptions,
  type VendorFault,
} from './nowpayments/fake-nowpayments.ts';
export type { DeliveryPlan, NoticeAttempt } from './nowpayments/notice-sender.ts';
export { signNotice } from './nowpayments/sign-notice.ts';
export type { NoticeGeneration, VendorPayment } from './nowpayments/vendor-payment.ts';
export { collectSse, readSse, SseFormatError, type SseEvent } from './processes/read-sse.ts';
export {
  generateSigningKey,
  serviceClaims,
  signServiceToken,
  type SigningKey,
  type TestTokenOptions,
} from './processes/signing-key.ts';
export {
  ServiceStartError,
  spawnService,
  type ServiceExit,
  type ServiceOutput,
  type SpawnedService,
  type SpawnServiceOptions,
} from './processes/spawn-service.ts';
export { startTcpRelay, type TcpRelay, type TcpRelayOptions } from './processes/tcp-relay.ts';
export { waitFor, type WaitOptions } from './processes/wait-for.ts';
export { testKubeconfig } from './processes/test-kubeconfig.ts';
