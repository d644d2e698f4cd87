import type { AddressInfo } from 'node:net';
import { JWKS_PATH } from '@arrakis/contracts';
import type { Queryable } from '@arrakis/postgres';
import { createHttpApp, createLogger, createRegistry } from '@arrakis/service-kit';
import type { FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';
import { createS2SEvents } from '../events.ts';
import { jwksRoutes } from '../jwks.routes.ts';
import { JwksService, type JwksServiceOptions } from '../jwks.service.ts';

export interface JwksApp {
  readonly app: FastifyInstance;
  readonly url: string;
  readonly registry: Registry;
  close(): Promise<void>;
}

/** The key set endpoint alone, over real HTTP. */
export async function startJwksApp(
  db: Queryable,
  options: Partial<JwksServiceOptions> = {},
): Promise<JwksApp> {
  const logger = createLogger({ service: 'test', level: 'silent' });
  const registry = createRegistry('test');
  const jwks = new JwksService({
    db,
    events: createS2SEvents(registry, logger),
    activeKid: () => undefined,
    ...options,
  });
  const app = createHttpApp({ logger, bodyLimitBytes: 1024, requestTimeoutMs: 5000 });
  await app.register(jwksRoutes({ jwks }));
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return {
    app,
    registry,
    url: `http://127.0.0.1:${port}${JWKS_PATH}`,
    close: () => app.close(),
  };
}
