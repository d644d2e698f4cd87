import { createLifecycle, createLogger, runService, serviceVersion } from '@arrakis/service-kit';
import { startTracing } from '@arrakis/telemetry';
import { startApi } from './api.ts';
import { toConfig } from './config/config.ts';
import { readEnv } from './config/env.ts';
import { toSecrets } from './config/secrets.ts';
import { startWorker } from './worker.ts';

const ROLES = { api: startApi, worker: startWorker } as const;

function main(role: string | undefined): void {
  if (role === undefined || !Object.hasOwn(ROLES, role)) {
    process.stderr.write(`usage: main.ts <${Object.keys(ROLES).join(' | ')}>\n`);
    process.exitCode = 2;
    return;
  }
  const start = ROLES[role as keyof typeof ROLES];
  const env = readEnv();
  const config = toConfig(env);
  const logger = createLogger({ service: `freeside-${role}`, level: config.logLevel });
  const lifecycle = createLifecycle();
  runService({
    logger,
    lifecycle,
    announceMs: config.drain.announceMs,
    drainDeadlineMs: config.drain.deadlineMs,
    start: async () => {
      const tracing = await startTracing({
        ...config.tracing,
        service: `freeside-${role}`,
        version: serviceVersion(),
        // Strangers call the api; the worker is called by finn.
        trustsCallers: role !== 'api',
        logger,
      });
      return tracing.with(await start(config, toSecrets(env), logger, lifecycle));
    },
  });
}

try {
  main(process.argv[2]);
} catch (error) {
  // Before there is a logger: a bad environment must be readable by whoever started the process.
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
