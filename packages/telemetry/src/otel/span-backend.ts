import {
  context,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import type { SpanAttributes, SpanName } from '../allowlist.domain.ts';
import { NO_SPAN, type ActiveSpan, type SpanBackend, type SpanOptions } from '../spans.ts';
import { remoteContext, traceparentOf } from './propagator.ts';

const KINDS = {
  internal: SpanKind.INTERNAL,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

type Work<Result> = (span: ActiveSpan) => Promise<Result>;

export function createSpanBackend(tracer: Tracer): SpanBackend {
  return new OtelBackend(tracer);
}

class OtelBackend implements SpanBackend {
  readonly #tracer: Tracer;

  constructor(tracer: Tracer) {
    this.#tracer = tracer;
  }

  inSpan<Result>(name: SpanName, options: SpanOptions, work: Work<Result>): Promise<Result> {
    const parent = context.active();
    const span = trace.getSpan(parent);
    if (span === undefined) return work(NO_SPAN);
    return isSampled(span) ? this.#run(parent, name, options, work) : work(new OtelSpan(span));
  }

  continueTrace<Result>(
    traceparent: string | undefined,
    name: SpanName,
    options: SpanOptions,
    work: Work<Result>,
  ): Promise<Result> {
    const parent = remoteContext(traceparent);
    const span = parent === undefined ? undefined : trace.getSpan(parent);
    if (parent === undefined || span === undefined) return work(NO_SPAN);
    if (isSampled(span)) return this.#run(parent, name, options, work);
    return context.with(parent, work, undefined, new OtelSpan(span));
  }

  activeSpan(): ActiveSpan {
    const span = trace.getActiveSpan();
    return span === undefined ? NO_SPAN : new OtelSpan(span);
  }

  async #run<Result>(
    parent: Context,
    name: SpanName,
    { kind = 'internal', attributes }: SpanOptions,
    work: Work<Result>,
  ): Promise<Result> {
    const span = this.#tracer.startSpan(
      name,
      { kind: KINDS[kind], ...(attributes && { attributes }) },
      parent,
    );
    const active = new OtelSpan(span);
    try {
      return await context.with(trace.setSpan(parent, span), work, undefined, active);
    } catch (error) {
      active.fail(error instanceof Error ? error.name : 'thrown');
      throw error;
    } finally {
      span.end();
    }
  }
}

class OtelSpan implements ActiveSpan {
  readonly #span: Span;

  constructor(span: Span) {
    this.#span = span;
  }

  get traceparent(): string {
    return traceparentOf(this.#span);
  }

  set(attributes: SpanAttributes): void {
    this.#span.setAttributes(attributes);
  }

  fail(type: string): void {
    this.#span.setStatus({ code: SpanStatusCode.ERROR });
    this.#span.setAttribute('error.type', type);
  }
}

function isSampled(span: Span): boolean {
  return (span.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0;
}
