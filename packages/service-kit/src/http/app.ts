import { fastify, LogController, type FastifyInstance } from 'fastify';
import type { FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { renderProblem, type Envelope } from '../problem-render.ts';
import { ProblemError } from '../problem-error.ts';
import { headersOf, toProblem } from '../to-problem.ts';
import { uuidv7 } from '../uuidv7.ts';
import { answerClientError, refuseConnect, type RawAnswer } from './client-error.ts';
import { drainBeforeClose } from './drain.ts';
import { findFramingFault, findHeadFault } from './guard.ts';
import { isHeaderText } from './header-text.ts';
import { acceptOnlyJson } from './json-body.ts';
import { addProblemSchemas } from './problem-schemas.ts';
import { createHttpMetrics, followRequest, UNPARSED } from './observe.ts';
import { trackMethods } from './route-methods.ts';

export interface HttpAppOptions {
  readonly logger: Logger;
  /** Bytes of a body; beyond it 413. */
  readonly bodyLimitBytes: number;
  /** For headers and body to arrive; beyond it 408. */
  readonly requestTimeoutMs: number;
  /** For the headers alone; at most `requestTimeoutMs`. Default 10 s. */
  readonly headersTimeoutMs?: number;
  /** Without a byte either way; has to exceed the longest pause within a stream. Default 2 min. */
  readonly connectionTimeoutMs?: number;
  /** Of an idle connection between requests. Default 65 s: longer than the balancers before us. */
  readonly keepAliveTimeoutMs?: number;
  /** How often Node looks for requests that are late. Default 1 s. */
  readonly timeoutCheckIntervalMs?: number;
  readonly maxHeaderBytes?: number;
  /** Requests sent on one connection before the first is answered; beyond it the connection is cut. */
  readonly maxPipelined?: number;
  /** Open at once; those beyond it are closed unanswered. */
  readonly maxConnections?: number;
  readonly maxParamLength?: number;
  readonly maxJsonDepth?: number;
  readonly maxJsonValues?: number;
  /** Which proxies' `X-Forwarded-*` are believed; none by default. */
  readonly trustProxy?: boolean | string | string[];
  /** Where `http_requests_total` and `http_request_duration_seconds` are registered. */
  readonly registry?: Registry;
  /** While it is true, answers ask the client to open its next connection elsewhere. */
  readonly isDraining?: () => boolean;
  /** The shape of errors for a URL (path and query as received); problem+json by default. */
  readonly envelope?: (url: string) => Envelope;
}

/**
 * What answers advise (`Keep-Alive: timeout=5`): a client that heeds it has given up its idle
 * connections before a draining process closes them, and sends no request into a closed one.
 */
const ADVISED_IDLE_MS = 5_000;

const DEFAULTS = {
  headersTimeoutMs: 10_000,
  connectionTimeoutMs: 120_000,
  keepAliveTimeoutMs: 65_000,
  timeoutCheckIntervalMs: 1_000,
  maxHeaderBytes: 16 * 1024,
  // Node hands over all that it finds in one read, thousands, and keeps every answer but the first
  // in memory. No client that we know sends a second request early; load generators send ten.
  maxPipelined: 10,
  maxConnections: 10_000,
  // A path parameter may be a whole NFT id of up to 132 characters.
  maxParamLength: 256,
  maxJsonDepth: 32,
  maxJsonValues: 10_000,
} satisfies Partial<HttpAppOptions>;

/**
 * A Fastify app with the platform's habits and no route: strict JSON in, problems out (in OpenAI's
 * envelope where `envelope` says so), a UUIDv7 as `request.id` and `X-Request-Id`, one log line
 * and one observation per request however it ends, 404 and 405, and every timeout and bound set.
 */
export function createHttpApp(options: HttpAppOptions): FastifyInstance {
  const settings = { ...DEFAULTS, ...options };
  const fail = createFailureHandler(options.envelope ?? (() => 'problem'));
  const app = fastify({
    ...serverOptions(settings),
    loggerInstance: options.logger,
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: 'requestId',
    }),
    genReqId: uuidv7,
    clientErrorHandler: (error, socket) => {
      answerClientError(error, socket, (answer) => reportUnparsed(answer, error.code));
    },
    // Such a request runs no hook: what they would have done is done here.
    frameworkErrors: (error, request, reply) => {
      begin(request, reply);
      fail(error, request, reply);
    },
  }) as unknown as FastifyInstance;

  const observe = options.registry === undefined ? undefined : createHttpMetrics(options.registry);
  const reportUnparsed = ({ status, requestId }: RawAnswer, error: string | undefined): void => {
    observe?.({ ...UNPARSED, status, durationMs: 0 });
    options.logger.info({ ...UNPARSED, status, requestId, error }, 'request');
  };
  /** False when its connection was cut instead. */
  const begin = (request: FastifyRequest, reply: FastifyReply): boolean => {
    request.wide = {};
    request.failure = undefined;
    const { headers, socket } = request.raw;
    // On the raw response, so that a hijacked reply carries it too.
    reply.raw.setHeader('x-request-id', request.id);
    // Node drops what came along with an upgrade that nobody takes up.
    if (options.isDraining?.() === true || headers.upgrade !== undefined) {
      reply.raw.setHeader('connection', 'close');
    }
    const isOneTooMany = inFlight.begin(socket) > settings.maxPipelined;
    if (isOneTooMany) socket.destroy();
    followRequest(request, reply, (observation) => {
      inFlight.end(socket);
      observe?.(observation);
    });
    return !isOneTooMany;
  };

  // Without these two Node would answer by itself: with a bare 417, or not at all.
  app.server.on('checkExpectation', (request, response) => {
    app.server.emit('request', request, response);
  });
  app.server.on('connect', (_request, socket) => {
    refuseConnect(socket, (answer) => reportUnparsed(answer, 'CONNECT'));
  });

  app.server.maxConnections = settings.maxConnections;
  const inFlight = drainBeforeClose(app);
  const methodsOf = trackMethods(app);
  acceptOnlyJson(app, { maxDepth: settings.maxJsonDepth, maxValues: settings.maxJsonValues });
  addProblemSchemas(app);
  app.decorateRequest('wide');
  app.decorateRequest('failure');
  app.addHook('onRequest', (request, reply, done) => {
    // What one read brought behind the request that was one too many isn't even begun.
    const isCut = request.raw.socket.destroyed || !begin(request, reply);
    if (isCut) reply.hijack();
    else done();
  });
  refuseBadHeads(app, methodsOf);
  app.setErrorHandler(fail);
  return app;
}

/**
 * By hooks of the routes, so that they run after those of the app, whatever is registered later: a
 * refusal too has what those add (security headers, for one). Framing comes before the routes' own
 * hooks: a bad key must not keep a connection whose next request is anyone's guess.
 */
function refuseBadHeads(
  app: FastifyInstance,
  methodsOf: (path: string) => readonly string[],
): void {
  const refuseBadFraming: onRequestHookHandler = (request, _reply, done) => {
    done(findFramingFault(request.raw));
  };
  app.addHook('onRoute', (route) => {
    route.onRequest = [refuseBadFraming, route.onRequest ?? []].flat();
  });
  // Where a plugin finds out later that there is nothing, such as one that serves files.
  app.setNotFoundHandler(() => {
    throw new ProblemError({ code: 'not_found' });
  });
  // Before the body is read.
  app.addHook('preParsing', (request, _reply, _body, done) => {
    if (!request.is404) done(findHeadFault(request));
    else done(findFramingFault(request.raw) ?? notFound(methodsOf(pathOf(request))));
  });
}

type Settings = HttpAppOptions & typeof DEFAULTS;

function serverOptions(settings: Settings) {
  return {
    bodyLimit: settings.bodyLimitBytes,
    requestTimeout: settings.requestTimeoutMs,
    connectionTimeout: settings.connectionTimeoutMs,
    keepAliveTimeout: Math.min(ADVISED_IDLE_MS, settings.keepAliveTimeoutMs),
    // Zero means no bound: a busy caller of ours keeps its connection.
    maxRequestsPerSocket: 0,
    forceCloseConnections: 'idle' as const,
    // A request that came before its connection was closed is served; `close` waits for it.
    return503OnClosing: false,
    trustProxy: settings.trustProxy ?? false,
    routerOptions: { maxParamLength: settings.maxParamLength },
    http: {
      keepAliveTimeoutBuffer: Math.max(0, settings.keepAliveTimeoutMs - ADVISED_IDLE_MS),
      maxHeaderSize: settings.maxHeaderBytes,
      requestTimeout: settings.requestTimeoutMs,
      headersTimeout: Math.min(settings.headersTimeoutMs, settings.requestTimeoutMs),
      connectionsCheckingInterval: settings.timeoutCheckIntervalMs,
      // Checked by the app, which can say what is missing.
      requireHostHeader: false,
    },
    ajv: {
      customOptions: {
        coerceTypes: false as const,
        // `["string", "null"]` gives a better complaint than `anyOf`.
        allowUnionTypes: true,
        removeAdditional: false,
        useDefaults: true,
        allErrors: true,
      },
    },
  };
}

function pathOf(request: FastifyRequest): string {
  const [path = ''] = request.url.split('?', 1);
  return path;
}

function notFound(methods: readonly string[]): ProblemError {
  if (methods.length === 0) return new ProblemError({ code: 'not_found' });
  return new ProblemError({ code: 'method_not_allowed', headers: { allow: methods.join(', ') } });
}

type FailureHandler = (error: unknown, request: FastifyRequest, reply: FastifyReply) => void;

function createFailureHandler(envelope: (url: string) => Envelope): FailureHandler {
  return (error, request, reply) => {
    request.failure = error;
    const rendered = renderProblem(
      toProblem(error, request.id),
      envelope(request.url),
      headersOf(error),
    );
    removeFailedHeaders(reply);
    // A buffer: to a text's content type Fastify would add a charset, and problem+json has none.
    void reply.code(rendered.status).headers(rendered.headers).send(Buffer.from(rendered.body));
  };
}

/** They describe the body that is not sent, or say how long it may be kept. */
const BODY_HEADERS = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-length',
  'content-type',
  'etag',
  'last-modified',
  'trailer',
];

/**
 * Of the headers that were meant for the answer that failed, takes away what doesn't fit an error
 * and what no header can carry: such a value may be why it failed, and would fail the error too.
 */
function removeFailedHeaders(reply: FastifyReply): void {
  for (const name of BODY_HEADERS) reply.removeHeader(name);
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (![value].flat().every((item) => isHeaderText(String(item)))) reply.removeHeader(name);
  }
}
