import { setTimeout as delay } from 'node:timers/promises';
import {
  startAdminServer,
  type Lifecycle,
  type Logger,
  type RunningService,
} from '@arrakis/service-kit';
import { buildApp } from './app.ts';
import type { FreesideConfig } from './config/config.ts';
import type { FreesideSecrets } from './config/secrets.ts';
import { createApiContext } from './context.ts';

/** Within the time that the process has for closing. */
const LAST_SETTLEMENTS_MS = 5_000;

/** The role `api`: the public HTTP API. */
export async function startApi(
  config: FreesideConfig,
  secrets: FreesideSecrets,
  logger: Logger,
  lifecycle: Lifecycle,
): Promise<RunningService> {
  const context = await createApiContext(config, secrets, logger, lifecycle);
  const app = await buildApp(context.http);
  const admin = await startAdminServer({
    ...config.admin,
    registry: context.http.registry,
    checks: context.checks,
    routes: context.adminRoutes,
    isDraining: lifecycle.isDraining,
    logger,
  });
  await app.listen(config.http);
  logger.info({ address: app.server.address(), adminPort: admin.port }, 'api started');

  return {
    async drain() {
      // Stops intake and resolves when the open streams have ended.
      await app.close();
      await context.drain();
    },
    async close() {
      // After a drain this is done already. Past its deadline it cuts what is left, and what was
      // delivered until then still has to reach the books.
      app.server.closeAllConnections();
      await Promise.race([context.drain(), delay(LAST_SETTLEMENTS_MS, undefined, { ref: false })]);
      await context.close();
      await admin.close();
    },
  };
}
