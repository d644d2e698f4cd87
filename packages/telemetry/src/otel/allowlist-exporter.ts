import { ExportResultCode, type ExportResult } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { SpanContext } from '@opentelemetry/api';
import { allowedAttributes, SPAN_NAMES } from '../allowlist.domain.ts';

export interface AllowlistExporterOptions {
  readonly exporter: SpanExporter;
  /** Called for each export that failed, with what may be logged of why. */
  readonly onFailed: (code: string) => void;
}

/**
 * The last thing that sees a span before it leaves: passes on what the allowlist names. Events,
 * links, messages and the state of a trace are never passed on.
 */
export class AllowlistExporter implements SpanExporter {
  readonly #options: AllowlistExporterOptions;

  constructor(options: AllowlistExporterOptions) {
    this.#options = options;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    const allowed = spans.filter(({ name }) => SPAN_NAMES.has(name)).map(toAllowed);
    if (allowed.length === 0) {
      done({ code: ExportResultCode.SUCCESS });
      return;
    }
    this.#options.exporter.export(allowed, (result) => {
      if (result.code !== ExportResultCode.SUCCESS) this.#options.onFailed(codeOf(result.error));
      // Told here already; the SDK would only tell its own, silent logger.
      done({ code: ExportResultCode.SUCCESS });
    });
  }

  async forceFlush(): Promise<void> {
    await this.#options.exporter.forceFlush?.();
  }

  shutdown(): Promise<void> {
    return this.#options.exporter.shutdown();
  }
}

function toAllowed(span: ReadableSpan): ReadableSpan {
  const own = bare(span.spanContext());
  const { parentSpanContext: parent } = span;
  return {
    name: span.name,
    kind: span.kind,
    spanContext: () => own,
    ...(parent === undefined ? {} : { parentSpanContext: bare(parent) }),
    startTime: span.startTime,
    endTime: span.endTime,
    duration: span.duration,
    ended: span.ended,
    status: { code: span.status.code },
    attributes: allowedAttributes(span.attributes),
    links: [],
    events: [],
    resource: span.resource,
    instrumentationScope: span.instrumentationScope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function bare({ traceId, spanId, traceFlags }: SpanContext): SpanContext {
  return { traceId, spanId, traceFlags };
}

/** A message may repeat the address; a status or a code doesn't. */
function codeOf(error: Error | undefined): string {
  if (error === undefined || !('code' in error)) return 'unknown';
  return typeof error.code === 'string' || typeof error.code === 'number'
    ? String(error.code)
    : 'unknown';
}
