import { CONTRACT_VERSION, HEADERS, INFERENCE_PATH } from '@arrakis/contracts';
import { Pool } from 'undici';
import type { FinnAttempt, FinnRequest } from './finn-attempt.ts';
import { Exchange } from './finn-exchange.ts';

export interface FinnClientOptions {
  /** Origin of finn, e.g. `http://finn:3001`. */
  readonly url: string;
  readonly connectTimeoutMs: number;
  /** Longest silence of finn while it streams, and before its first byte. */
  readonly idleTimeoutMs: number;
  readonly maxConnections?: number;
  /** Called for each answer whose contract version isn't ours. */
  readonly onVersionMismatch: (version: string) => void;
}

const DEFAULT_MAX_CONNECTIONS = 1024;
/** Shorter than any server's own, so that we rarely write to a connection that is being closed. */
const KEEP_ALIVE_MS = 4_000;

/** finn over HTTP/1.1. Makes single attempts: retries and the breaker are the caller's. */
export class FinnClient {
  readonly #options: FinnClientOptions;
  readonly #pool: Pool;

  constructor(options: FinnClientOptions) {
    this.#options = options;
    this.#pool = new Pool(options.url, {
      connections: options.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      connect: { timeout: options.connectTimeoutMs },
    });
  }

  /**
   * Resolves with the first byte of finn's answer, its refusal, or its absence; never rejects for
   * what finn or the network do.
   */
  attempt(request: FinnRequest): Promise<FinnAttempt> {
    const { promise, resolve } = Promise.withResolvers<FinnAttempt>();
    const exchange = new Exchange(request, this.#options.onVersionMismatch, resolve);
    // A plain answer comes at once at its end, so silence before it is no sign of trouble.
    const silenceMs = request.body.stream ? this.#options.idleTimeoutMs : request.timeoutMs;
    this.#pool.dispatch(
      {
        method: 'POST',
        path: INFERENCE_PATH,
        headers: {
          authorization: `Bearer ${request.token}`,
          'content-type': 'application/json',
          accept: request.body.stream ? 'text/event-stream' : 'application/json',
          [HEADERS.requestId]: request.requestId,
          [HEADERS.contractVersion]: CONTRACT_VERSION,
        },
        body: JSON.stringify(request.body),
        headersTimeout: silenceMs,
        bodyTimeout: silenceMs,
      },
      exchange,
    );
    return promise;
  }

  /** Waits for answers under way. */
  async close(): Promise<void> {
    await this.#pool.close();
  }

  /** Drops answers under way. */
  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }
}
