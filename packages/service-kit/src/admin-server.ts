import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';

/** Resolves when the dependency answers; rejects when it doesn't. */
export type HealthCheck = () => Promise<void>;

export interface AdminServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly registry: Registry;
  readonly checks: Readonly<Record<string, HealthCheck>>;
  readonly isDraining: () => boolean;
  readonly logger: Logger;
  /** What else the process tells its operators: a path (`/flags`) and the object it answers as JSON. */
  readonly routes?: Readonly<Record<string, () => unknown>>;
  /** How long an outcome of the checks is reused. Default 1 s. */
  readonly cacheMs?: number;
  /** For one check. Default 2 s. */
  readonly checkTimeoutMs?: number;
}

export interface AdminServer {
  readonly port: number;
  readonly close: () => Promise<void>;
}

type CheckStatus = 'ok' | 'failed' | 'timeout';

interface Readiness {
  readonly status: 'ready' | 'not_ready' | 'draining';
  readonly checks: Readonly<Record<string, CheckStatus>>;
}

const DEFAULT_CACHE_MS = 1_000;
const DEFAULT_CHECK_TIMEOUT_MS = 2_000;

/**
 * Serves `/livez` (200 as long as the event loop turns), `/readyz` (503 while draining or while a
 * check fails), `/metrics` and the given routes, apart from the public port. Tells which check failed, not why: the
 * reason goes to the log.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const readiness = createReadiness(options);
  const server = createServer((request, response) => {
    handle(request, response, options, readiness).catch((error: unknown) => {
      options.logger.error({ err: error }, 'admin request failed');
      if (!response.headersSent) sendJson(response, 500, { status: 'error' });
      else response.destroy();
    });
  });
  server.requestTimeout = 5_000;
  server.headersTimeout = 5_000;
  server.keepAliveTimeout = 65_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  options: AdminServerOptions,
  readiness: () => Promise<Readiness>,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    sendJson(response, 405, { status: 'method_not_allowed' });
    return;
  }
  const [path = ''] = (request.url ?? '').split('?', 1);
  switch (path) {
    case '/livez':
      sendJson(response, 200, { status: 'alive' });
      return;
    case '/readyz': {
      const state = await readiness();
      sendJson(response, state.status === 'ready' ? 200 : 503, state);
      return;
    }
    case '/metrics': {
      const text = await options.registry.metrics();
      response.writeHead(200, { 'content-type': options.registry.contentType }).end(text);
      return;
    }
    default:
      sendRoute(response, options.routes ?? {}, path);
  }
}

function sendRoute(
  response: ServerResponse,
  routes: Readonly<Record<string, () => unknown>>,
  path: string,
): void {
  const answer = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (answer === undefined) sendJson(response, 404, { status: 'not_found' });
  else sendJson(response, 200, answer());
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(JSON.stringify(body));
}

/** Runs the checks at most once per `cacheMs`; callers that come meanwhile share the outcome. */
function createReadiness(options: AdminServerOptions): () => Promise<Readiness> {
  const cacheMs = options.cacheMs ?? DEFAULT_CACHE_MS;
  let current: Promise<Readonly<Record<string, CheckStatus>>> | undefined;
  let expiresAt = 0;
  return async () => {
    if (options.isDraining()) return { status: 'draining', checks: {} };
    if (current === undefined || performance.now() >= expiresAt) {
      expiresAt = Infinity;
      current = runChecks(options).finally(() => {
        expiresAt = performance.now() + cacheMs;
      });
    }
    const checks = await current;
    const ready = Object.values(checks).every((status) => status === 'ok');
    return { status: ready ? 'ready' : 'not_ready', checks };
  };
}

async function runChecks(
  options: AdminServerOptions,
): Promise<Readonly<Record<string, CheckStatus>>> {
  const timeoutMs = options.checkTimeoutMs ?? DEFAULT_CHECK_TIMEOUT_MS;
  const outcomes = Object.entries(options.checks).map(async ([name, check]) => {
    try {
      return [name, await withDeadline(check, timeoutMs)] as const;
    } catch (error) {
      options.logger.warn({ check: name, err: error }, 'health check failed');
      return [name, 'failed'] as const;
    }
  });
  return Object.fromEntries(await Promise.all(outcomes));
}

async function withDeadline(check: HealthCheck, timeoutMs: number): Promise<CheckStatus> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<CheckStatus>((resolve) => {
    timer = setTimeout(() => resolve('timeout'), timeoutMs);
  });
  try {
    return await Promise.race([check().then((): CheckStatus => 'ok'), deadline]);
  } finally {
    clearTimeout(timer);
  }
}
