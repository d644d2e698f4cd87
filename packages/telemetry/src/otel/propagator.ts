import {
  ROOT_CONTEXT,
  trace,
  TraceFlags,
  type Context,
  type Span,
  type TextMapGetter,
  type TextMapPropagator,
  type TextMapSetter,
} from '@opentelemetry/api';
import { formatTraceparent, parseTraceparent } from '../traceparent.domain.ts';

export const TRACEPARENT = 'traceparent';

/** Below a span of another process, when `value` names one. */
export function remoteContext(value: unknown): Context | undefined {
  const parent = parseTraceparent(value);
  if (parent === undefined) return undefined;
  const { traceId, spanId, sampled } = parent;
  const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

export function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return formatTraceparent(traceId, spanId, (traceFlags & TraceFlags.SAMPLED) !== 0);
}

/**
 * `traceparent` and nothing else. `tracestate` and `baggage` are what others want us to carry for
 * them, to vendors in the end: neither is read nor sent.
 */
export class TraceparentPropagator implements TextMapPropagator {
  inject(context: Context, carrier: unknown, setter: TextMapSetter): void {
    const span = trace.getSpan(context);
    if (span === undefined || !trace.isSpanContextValid(span.spanContext())) return;
    setter.set(carrier, TRACEPARENT, traceparentOf(span));
  }

  extract(context: Context, carrier: unknown, getter: TextMapGetter): Context {
    return remoteContext(getter.get(carrier, TRACEPARENT)) ?? context;
  }

  fields(): string[] {
    return [TRACEPARENT];
  }
}
