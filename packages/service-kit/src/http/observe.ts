import type { IncomingMessage } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Counter, Histogram, type Registry } from 'prom-client';

declare module 'fastify' {
  interface FastifyRequest {
    /** Fields that a handler adds to the one log line of this request. Never secrets or prompts. */
    wide: WideFields;
    /** What an error handler met; logged with the request's line when the answer is a 5xx. */
    failure: unknown;
  }
}

export type WideFields = Record<string, string | number | boolean | null | undefined>;

/** A client that left before its answer began, as nginx counts it. */
const CLIENT_CLOSED_REQUEST = 499;
const INTERNAL_ERROR = 500;
const UNMATCHED_ROUTE = 'unmatched';
/** What never became a request has no method and no path. */
export const UNPARSED = { method: 'unknown', route: 'unparsed' } as const;
const DURATION_BUCKETS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
];

interface Observation {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly durationMs: number;
}

export type Observe = (observation: Observation) => void;

/** `http_requests_total`, `http_internal_errors_total` and `http_request_duration_seconds`. */
export function createHttpMetrics(registry: Registry): Observe {
  const total = new Counter({
    name: 'http_requests_total',
    help: 'HTTP requests answered, by method, route pattern and status.',
    labelNames: ['method', 'route', 'status'] as const,
    registers: [registry],
  });
  // Of its own, without labels: it is there as 0 before the first, so that the first one shows.
  const internalErrors = new Counter({
    name: 'http_internal_errors_total',
    help: 'Requests answered with 500: a bug, whatever the client did.',
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Seconds from the arrival of the headers to the end of the answer, by route pattern.',
    labelNames: ['route'] as const,
    buckets: DURATION_BUCKETS_SECONDS,
    registers: [registry],
  });
  return ({ method, route, status, durationMs }) => {
    total.inc({ method, route, status });
    if (status === INTERNAL_ERROR) internalErrors.inc();
    duration.observe({ route }, durationMs / 1000);
  };
}

/**
 * Follows one request to its end, however it ends: the response's `close` comes after a finished
 * answer, a hijacked one and a lost connection alike.
 */
export function followRequest(request: FastifyRequest, reply: FastifyReply, onEnd: Observe): void {
  const startedAt = performance.now();
  const { socket } = request.raw;
  const bytesBefore = bytesWritten(socket);
  reply.raw.on('close', () => {
    if (!request.raw.complete) answeredEarly.set(socket, request.raw);
    const finished = reply.raw.writableFinished;
    const status =
      finished || reply.raw.headersSent ? reply.raw.statusCode : abortedStatus(reply.raw);
    const observation = {
      method: request.method,
      route: request.routeOptions.url ?? UNMATCHED_ROUTE,
      status,
      durationMs: performance.now() - startedAt,
    };
    onEnd(observation);
    const bytes = bytesWritten(socket) - bytesBefore;
    // A streaming handler learns of the end by the same event: its fields come in this turn.
    setImmediate(() => writeLine(request, observation, finished, bytes));
  });
}

/** Of an injected request, which has no real socket, nothing is known. */
function bytesWritten(socket: { readonly bytesWritten?: number }): number {
  return socket.bytesWritten ?? 0;
}

/** By connection, the last request whose answer ended before its body had arrived. */
const answeredEarly = new WeakMap<object, IncomingMessage>();

/** Whether what still arrives on this connection belongs to a request that has its answer. */
export function isAnswered(socket: object): boolean {
  return answeredEarly.get(socket)?.complete === false;
}

const timedOut = new WeakSet<object>();

/** Notes that the server itself gave up on the request, before its connection is closed. */
export function markTimedOut(response: object): void {
  timedOut.add(response);
}

function abortedStatus(response: object): number {
  return timedOut.has(response) ? 408 : CLIENT_CLOSED_REQUEST;
}

function writeLine(
  request: FastifyRequest,
  observation: Observation,
  finished: boolean,
  bytes: number,
): void {
  const failed = observation.status >= 500;
  const fields = {
    method: observation.method,
    route: observation.route,
    status: observation.status,
    durationMs: Math.round(observation.durationMs * 1000) / 1000,
    bytes,
    ...(finished ? undefined : { aborted: true }),
    ...request.wide,
    ...(failed && request.failure !== undefined ? { err: request.failure } : undefined),
  };
  if (failed) request.log.error(fields, 'request');
  else request.log.info(fields, 'request');
}
