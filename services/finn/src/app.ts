import { LIMITS } from '@arrakis/contracts';
import { createHttpApp, serviceVersion } from '@arrakis/service-kit';
import type { FastifyInstance } from 'fastify';
import type { FinnContext } from './context.ts';
import { addHealthRoutes } from './features/health/health.routes.ts';
import { addInferenceRoutes } from './features/inference/inference.routes.ts';
import { decorateWithToken } from './features/s2s-auth/authenticate.ts';
import { addS2SAuthRoutes } from './features/s2s-auth/s2s-auth.routes.ts';

/** A body of a megabyte from a neighbour; slower than this is no neighbour. */
const REQUEST_TIMEOUT_MS = 10_000;

/** The public app with every route, not yet listening. */
export async function buildApp(context: FinnContext): Promise<FastifyInstance> {
  const app = createHttpApp({
    logger: context.logger,
    registry: context.registry,
    isDraining: context.lifecycle.isDraining,
    bodyLimitBytes: LIMITS.bodyBytes,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
  });
  decorateWithToken(app);
  const { auth, events, inference } = context;
  addHealthRoutes(app, serviceVersion());
  addS2SAuthRoutes(app, { auth, events });
  addInferenceRoutes(app, { auth, events, inference });
  await app.ready();
  return app;
}
