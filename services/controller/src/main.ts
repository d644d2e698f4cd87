import {
  createLifecycle,
  createLogger,
  runService,
  startAdminServer,
  type RunningService,
} from '@arrakis/service-kit';
import { toConfig, toSecrets } from './config/config.ts';
import { readEnv } from './config/env.ts';
import { createManager } from './manager.ts';

function main(): void {
  const env = readEnv();
  const config = toConfig(env);
  const logger = createLogger({ service: 'controller', level: config.logLevel });
  const lifecycle = createLifecycle();
  runService({
    logger,
    lifecycle,
    drainDeadlineMs: config.drainDeadlineMs,
    start: async (): Promise<RunningService> => {
      const manager = await createManager(config, toSecrets(env), logger);
      const admin = await startAdminServer({
        ...config.admin,
        registry: manager.registry,
        // Read at each look: it names the role, which changes.
        get checks() {
          return manager.checks();
        },
        isDraining: lifecycle.isDraining,
        logger,
      });
      logger.info({ adminPort: admin.port }, 'controller started');
      return {
        drain: () => manager.drain(),
        close: async () => {
          await manager.close();
          await admin.close();
        },
      };
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
