import type { SpanAttributes, SpanName } from './allowlist.domain.ts';

/** The span that the code is running in. Does nothing while tracing is off or it isn't sampled. */
export interface ActiveSpan {
  set(attributes: SpanAttributes): void;
  /** Ends as an error. @param type a code or class, never a message */
  fail(type: string): void;
  /** For who continues the trace elsewhere (W3C); undefined outside of any trace. */
  readonly traceparent: string | undefined;
}

export interface SpanOptions {
  readonly kind?: 'internal' | 'producer' | 'consumer';
  readonly attributes?: SpanAttributes;
}

type Work<Result> = (span: ActiveSpan) => Promise<Result>;

/** What stands behind the functions below while tracing is on. */
export interface SpanBackend {
  inSpan<Result>(name: SpanName, options: SpanOptions, work: Work<Result>): Promise<Result>;
  continueTrace<Result>(
    traceparent: string | undefined,
    name: SpanName,
    options: SpanOptions,
    work: Work<Result>,
  ): Promise<Result>;
  activeSpan(): ActiveSpan;
}

export const NO_SPAN: ActiveSpan = {
  set: () => undefined,
  fail: () => undefined,
  traceparent: undefined,
};

let backend: SpanBackend | undefined;

export function installBackend(installed: SpanBackend | undefined): void {
  backend = installed;
}

/**
 * Runs `work` in a span below the active one, which ends when `work` settles; what it throws is
 * noted by its class alone. Without a sampled active span it is just `work`.
 */
export function inSpan<Result>(
  name: SpanName,
  options: SpanOptions,
  work: Work<Result>,
): Promise<Result> {
  return backend === undefined ? work(NO_SPAN) : backend.inSpan(name, options, work);
}

/**
 * The same below a span of another process or time, whatever is active here. `traceparent` is what
 * that side gave; anything but a well-formed one means that there is no trace to continue.
 */
export function continueTrace<Result>(
  traceparent: string | undefined,
  name: SpanName,
  options: SpanOptions,
  work: Work<Result>,
): Promise<Result> {
  return backend === undefined
    ? work(NO_SPAN)
    : backend.continueTrace(traceparent, name, options, work);
}

/** To be kept across callbacks whose own context is another's: a socket's, for one. */
export function activeSpan(): ActiveSpan {
  return backend === undefined ? NO_SPAN : backend.activeSpan();
}
