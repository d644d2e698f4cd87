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
      // After a drain this is done already; past its deadline it cuts what is left.
      app.server.closeAllConnections();
      await context.close();
      await admin.close();
    },
  };
}
