import type { Summary } from '../lib/statistics.ts';

/** Who is asked, as an OpenAI-compatible server. */
export interface Target {
  readonly origin: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly model: string;
}

interface Common {
  readonly target: Target;
  readonly stream: boolean;
  readonly tokens: number;
  readonly paceMs: number;
  /** The provider's delay is drawn evenly from this range for each request. */
  readonly delayMs: readonly [from: number, to: number];
  /** Not measured: connections are opened, code gets hot. */
  readonly warmUpMs: number;
  readonly durationMs: number;
}

/** That many callers, each asking again as soon as it was answered: for ceilings. */
export interface ClosedLoad extends Common {
  readonly kind: 'closed';
  readonly connections: number;
  /** The warm-up goes on until so many were answered, however long a busy machine takes. */
  readonly warmUpRequests?: number;
}

/** Evenly spaced arrivals that wait for nobody: for latency. */
export interface OpenLoad extends Common {
  readonly kind: 'open';
  readonly perSecond: number;
}

/** That many paced streams at once; measured while all of them run. */
export interface HeldLoad extends Common {
  readonly kind: 'held';
  readonly streams: number;
  /** New streams a second until all run. */
  readonly rampPerSecond: number;
}

export type Load = ClosedLoad | OpenLoad | HeldLoad;

/** Of answers that were all checked to the last token: a wrong one ends the run. */
export interface LoadResult {
  readonly requests: number;
  readonly elapsedMs: number;
  /** Until the last byte, without the provider's delay. From the intended start in an open loop. */
  readonly latency: Summary;
  /** Until the first token, without the provider's delay; of streams. */
  readonly firstToken?: Summary;
  /** Between one token and the next of a stream, as they arrive; of paced streams. */
  readonly gap?: Summary;
  /** Streams that ran all the time in which it was measured; of held ones. */
  readonly together?: number;
  /** Tokens that arrived while CPU time was measured. */
  readonly tokens: number;
  /** How late the generator itself sent requests; of open loops. */
  readonly lateness?: Summary;
}
