export interface TracingOptions {
  /** Base URL of an OTLP/HTTP collector; without it there is no tracing. */
  readonly endpoint: string | undefined;
  /** Of the traces that begin here, from 0 to 1. */
  readonly sampleRatio: number;
  /** As `service.name`. */
  readonly service: string;
  readonly version: string;
  /**
   * Whether callers decide what is sampled. Ours do; of a stranger only the trace's id is taken,
   * or anyone could have everything recorded.
   */
  readonly trustsCallers: boolean;
  readonly logger: TracingLog;
}

export interface TracingLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface Tracing {
  /** Exports what is left, for a bounded time; never rejects. */
  close(): Promise<void>;
  /** The same service, at whose end {@link close} comes last. */
  with<Service extends Closable>(service: Service): Service;
}

interface Closable {
  close(): Promise<void>;
}
