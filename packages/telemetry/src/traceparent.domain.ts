/** Where in a trace a caller stands, as a `traceparent` says it (W3C Trace Context). */
export interface RemoteParent {
  /** 32 and 16 lower-case hex digits, neither all zero. */
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

const VERSION_00 = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const LATER_VERSION =
  /^(?!ff|00)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-[\x20-\x7e]{0,200})?$/;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);
const SAMPLED = 1;

/** Undefined unless it is exactly one well-formed `traceparent`. */
export function parseTraceparent(value: unknown): RemoteParent | undefined {
  if (typeof value !== 'string') return undefined;
  const match = VERSION_00.exec(value) ?? LATER_VERSION.exec(value);
  const [, traceId = NO_TRACE, spanId = NO_SPAN, flags = '00'] = match ?? [];
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED };
}

/** Only the flag that we understand is passed on. */
export function formatTraceparent(traceId: string, spanId: string, sampled: boolean): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}
