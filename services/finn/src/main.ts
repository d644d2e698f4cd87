import {
  createLifecycle,
  createLogger,
  runService,
  serviceVersion,
  startAdminServer,
  type Lifecycle,
  type Logger,
  type RunningService,
} from '@arrakis/service-kit';
import { startTracing } from '@arrakis/telemetry';
import { buildApp } from './app.ts';
import { toConfig, type FinnConfig } from './config/config.ts';
import { readEnv, readNamedVariable } from './config/env.ts';
import { toSecrets, type FinnSecrets } from './config/secrets.ts';
import { createContext } from './context.ts';

/** Brings finn up; it listens only once everything behind it is wired. */
async function start(
  config: FinnConfig,
  secrets: FinnSecrets,
  logger: Logger,
  lifecycle: Lifecycle,
): Promise<RunningService> {
  const context = await createContext(config, secrets, logger, lifecycle);
  const app = await buildApp(context);
  const admin = await startAdminServer({
    ...config.admin,
    registry: context.registry,
    checks: context.checks,
    routes: { '/flags': () => context.flags.snapshot() },
    isDraining: lifecycle.isDraining,
    logger,
  });
  await app.listen(config.http);
  logger.info({ ...config.http, adminPort: admin.port }, 'finn is listening');
  return {
    // Resolves when every open answer has ended.
    drain: () => app.close(),
    close: async () => {
      await context.close();
      await app.close();
      await admin.close();
    },
  };
}

function main(): void {
  const env = readEnv();
  const config = toConfig(env);
  const secrets = toSecrets(env, config.pools, readNamedVariable);
  const logger = createLogger({ service: 'finn', level: config.logLevel });
  const lifecycle = createLifecycle();
  runService({
    logger,
    lifecycle,
    announceMs: config.drain.announceMs,
    drainDeadlineMs: config.drain.deadlineMs,
    start: async () => {
      const tracing = await startTracing({
        ...config.tracing,
        service: 'finn',
        version: serviceVersion(),
        trustsCallers: true,
        logger,
      });
      return tracing.with(await start(config, secrets, logger, lifecycle));
    },
  });
}

try {
  main();
} catch (error) {
  // Before there is a logger: a bad environment must be readable by whoever started the process.
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
