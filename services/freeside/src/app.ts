import { LIMITS } from '@arrakis/contracts';
import { createHttpApp, errorResponses, serviceVersion, type Logger } from '@arrakis/service-kit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import helmet from 'helmet';
import type { Registry } from 'prom-client';
import { Type } from 'typebox';
import { registerDocumentation } from './documentation.ts';
import type { AgentService } from './features/agents/service.ts';
import { decoratePrincipal, requireApiKey } from './features/api-keys/require-api-key.ts';
import type { ApiKeyService } from './features/api-keys/service.ts';
import { registerChatCompletionRoutes } from './features/inference/chat-completions.routes.ts';
import { registerInferenceRoutes } from './features/inference/inference.routes.ts';
import type { InferenceService } from './features/inference/inference.service.ts';
import { registerModelRoutes } from './features/inference/models.routes.ts';
import { registerBillingRoutes, type BillingRoutesDeps } from './features/ledger/billing.routes.ts';
import type { Payments } from './features/payments/create-payments.ts';
import { registerPaymentRoutes } from './features/payments/payments.routes.ts';
import { webhookRoutes } from './features/payments/webhook.routes.ts';
import { jwksRoutes } from './features/s2s/jwks.routes.ts';
import type { JwksService } from './features/s2s/jwks.service.ts';

/** What the public HTTP API stands on, ready to use. */
export interface FreesideContext {
  readonly logger: Logger;
  readonly registry: Registry;
  readonly isDraining: () => boolean;
  /** Which proxies' `X-Forwarded-*` are believed; none when absent. */
  readonly trustedProxies: string[] | undefined;
  readonly apiKeys: ApiKeyService;
  readonly agents: Pick<AgentService, 'findAgent' | 'listAgents'>;
  readonly inference: InferenceService;
  readonly jwks: JwksService;
  readonly billing: BillingRoutesDeps['billing'];
  readonly payments: Payments;
  /** How long a streaming client may go without reading; half a minute when absent. */
  readonly clientIdleTimeoutMs?: number;
}

/** For headers and body to arrive. */
const REQUEST_TIMEOUT_MS = 15_000;
const CLIENT_IDLE_TIMEOUT_MS = 30_000;

/** The public HTTP API, not yet listening. */
export async function buildApp(context: FreesideContext): Promise<FastifyInstance> {
  const { logger, registry, isDraining, trustedProxies } = context;
  const app = createHttpApp({
    logger,
    registry,
    isDraining,
    ...(trustedProxies === undefined ? {} : { trustProxy: trustedProxies }),
    bodyLimitBytes: LIMITS.bodyBytes,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
    envelope: (url) => (url.startsWith('/v1/') ? 'openai' : 'problem'),
  });
  decoratePrincipal(app);
  registerProtection(app);
  await registerDocumentation(app);
  await app.register(jwksRoutes({ jwks: context.jwks }));
  await app.register(webhookRoutes(context));
  registerHealth(app);
  registerApi(app, context);
  return app;
}

function registerApi(app: FastifyInstance, context: FreesideContext): void {
  const { agents, apiKeys, billing, inference } = context;
  const mayInfer = requireApiKey(apiKeys, { scope: 'inference' });
  const mayRead = requireApiKey(apiKeys, { scope: 'read' });
  const inferenceOptions = {
    inference,
    requireKey: mayInfer,
    clientIdleTimeoutMs: context.clientIdleTimeoutMs ?? CLIENT_IDLE_TIMEOUT_MS,
  };
  registerInferenceRoutes(app, inferenceOptions);
  registerChatCompletionRoutes(app, inferenceOptions);
  registerModelRoutes(app, { agents, requireKey: mayInfer });
  registerBillingRoutes(app, { billing, authenticate: mayRead });
  registerPaymentRoutes(app, { payments: context.payments, authenticate: mayRead });
}

/**
 * An API has nothing to run in a browser; the documentation's pages bring their own policy. One
 * middleware for all requests: Fastify's plugin makes one for each.
 */
function registerProtection(app: FastifyInstance): void {
  const setHeaders = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    // JWKS and the OpenAPI document are public: other origins may read them.
    crossOriginResourcePolicy: { policy: 'cross-origin' },
  });
  const protect = (request: FastifyRequest, reply: FastifyReply, done: () => void): void => {
    setHeaders(request.raw, reply.raw, done);
  };
  app.addHook('onRequest', protect);
  // What is refused before that hook had its turn.
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (reply.raw.hasHeader('x-content-type-options')) done();
    else protect(request, reply, done);
  });
}

function registerHealth(app: FastifyInstance): void {
  const schema = {
    operationId: 'health',
    tags: ['service'],
    summary: 'Whether the service runs, and which version',
    response: {
      200: Type.Object({ status: Type.Literal('ok'), version: Type.String() }),
      ...errorResponses('problem', [400, 405, 431, 500]),
    },
  };
  app.get('/health', { schema }, () => ({ status: 'ok', version: serviceVersion() }));
}
