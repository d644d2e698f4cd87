import { channel } from 'node:diagnostics_channel';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import { SERVER_SPANS, type SpanAttributes } from '../allowlist.domain.ts';
import { remoteContext, TRACEPARENT } from './propagator.ts';

const TRACED: ReadonlySet<string> = new Set(SERVER_SPANS);
/** Outcomes of an answer that began with 200 and broke off on our side of the wire. */
const BROKEN: ReadonlySet<unknown> = new Set(['failed', 'failed_midway']);

/** What is used of Fastify: this package doesn't depend on it. */
interface AppLike {
  addHook(
    name: 'onRequest',
    hook: (request: RequestLike, reply: ReplyLike, done: () => void) => void,
  ): void;
}
interface RequestLike {
  readonly id: string;
  readonly method: string;
  readonly raw: IncomingMessage;
  readonly routeOptions: { readonly url?: string | undefined };
  readonly wide?: Readonly<Record<string, unknown>>;
  log: { child(bindings: object): RequestLike['log'] };
}
interface ReplyLike {
  readonly raw: ServerResponse;
}

/**
 * A server span for each request to a traced route of every Fastify app made from now on. Fastify
 * announces them on a channel, so neither it nor Node's `http` has to be patched, which is what the
 * HTTP instrumentation costs a request. Returns what ends it, for apps not yet made.
 */
export function traceFastifyApps(tracer: Tracer): () => void {
  const apps = channel('fastify.initialization');
  const onApp = (message: unknown): void =>
    instrument((message as { fastify: AppLike }).fastify, tracer);
  apps.subscribe(onApp);
  return () => apps.unsubscribe(onApp);
}

function instrument(app: AppLike, tracer: Tracer): void {
  // Fastify carries the context over the reading of the body.
  app.addHook('onRequest', (request, reply, done) => {
    const begun = begin(tracer, request, reply);
    if (begun === undefined) done();
    else context.with(begun, done);
  });
}

function begin(tracer: Tracer, request: RequestLike, reply: ReplyLike): Context | undefined {
  const route = request.routeOptions.url;
  if (route === undefined) return undefined;
  const name = `${request.method} ${route}`;
  if (!TRACED.has(name)) return undefined;
  const parent = remoteContext(request.raw.headers[TRACEPARENT]) ?? ROOT_CONTEXT;
  const span = tracer.startSpan(name, { kind: SpanKind.SERVER }, parent);
  if (span.isRecording()) {
    request.log = request.log.child({ trace_id: span.spanContext().traceId });
    span.setAttributes({ 'http.request.method': request.method, 'http.route': route });
    reply.raw.once('close', () => {
      const closedAtMs = performance.now();
      // What the handler learns from the same event still belongs to it.
      setImmediate(() => finish(span, request, reply.raw, closedAtMs));
    });
  }
  return trace.setSpan(parent, span);
}

function finish(
  span: Span,
  request: RequestLike,
  response: ServerResponse,
  closedAtMs: number,
): void {
  const outcome = outcomeOf(request, response);
  const status = response.headersSent ? response.statusCode : undefined;
  const wide = request.wide ?? {};
  span.setAttributes({
    'arrakis.request_id': request.id,
    ...defined({
      'http.response.status_code': status,
      'arrakis.outcome': outcome,
      'arrakis.pool': wide.pool,
      'gen_ai.usage.input_tokens': wide.promptTokens,
      'gen_ai.usage.output_tokens': wide.completionTokens,
    }),
  });
  const failed = status !== undefined && status >= 500;
  if (failed || BROKEN.has(outcome)) {
    span.setStatus({ code: SpanStatusCode.ERROR });
    span.setAttribute('error.type', failed ? String(status) : String(outcome));
  }
  span.end(closedAtMs);
}

/** A client that leaves is nobody's error, but explains why the span ends where it does. */
function outcomeOf(request: RequestLike, response: ServerResponse): unknown {
  return request.wide?.outcome ?? (response.writableFinished ? undefined : 'client_gone');
}

function defined(attributes: { [Name in keyof SpanAttributes]: unknown }): Record<string, string> {
  const entries = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Record<string, string>;
}
