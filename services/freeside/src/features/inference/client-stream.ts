import type { ServerResponse } from 'node:http';
import type { ClientStream } from './stream-relay.ts';

/**
 * A signal that aborts when the client leaves before its answer has ended. Node tells of a client
 * that closes its connection, or its half of it, by closing the response.
 */
export function signalOfClient(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  if (response.destroyed) controller.abort();
  response.once('close', () => {
    if (!response.writableFinished) controller.abort();
  });
  return controller.signal;
}

export interface HttpClientStreamOptions {
  readonly response: ServerResponse;
  /** How long the client may take to read before its connection is closed. */
  readonly idleTimeoutMs: number;
  /** Read when the stream begins. */
  readonly headers: () => Readonly<Record<string, string>>;
}

/** Writes a stream to a response that Fastify has handed over. */
export class HttpClientStream implements ClientStream {
  readonly signal: AbortSignal;
  readonly #options: HttpClientStreamOptions;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: HttpClientStreamOptions) {
    this.#options = options;
    this.signal = signalOfClient(options.response);
    options.response.once('close', () => clearTimeout(this.#idle));
    // A broken connection closes the response, and that is where it is dealt with.
    options.response.on('error', () => undefined);
  }

  begin(): void {
    this.#options.response.writeHead(200, this.#options.headers());
  }

  write(data: Buffer | string): boolean {
    return this.#options.response.write(data);
  }

  onDrain(resume: () => void): void {
    this.#startIdleTimer();
    this.#options.response.once('drain', () => {
      clearTimeout(this.#idle);
      resume();
    });
  }

  end(): void {
    this.#startIdleTimer();
    this.#options.response.end();
  }

  #startIdleTimer(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#options.response.destroy(), this.#options.idleTimeoutMs);
  }
}
