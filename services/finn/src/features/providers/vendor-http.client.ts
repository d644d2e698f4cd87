import { StringDecoder } from 'node:string_decoder';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { Pool, type Dispatcher } from 'undici';
import { ProviderError, type ProviderSink, type ProviderTimeouts } from './provider.ts';
import {
  parseEndpoint,
  statusError,
  transportError,
  type Endpoint,
  type Phase,
} from './vendor-http.domain.ts';

/** One line, and one event with all its lines; a vendor that sends more is cut off. */
const MAX_EVENT_CHARS = 1024 * 1024;
/** What is read of an answer that nobody needs, so that its connection can be used again. */
const MAX_DISCARDED_BYTES = 64 * 1024;
const MAX_CONNECTIONS = 1024;
const KEEP_ALIVE_MS = 10_000;
const ANSWERS_TO_A_PROBE = new Set([403, 404, 405, 429]);

export interface StreamCall {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
  /**
   * Gets each event in order; `end` when the answer is complete, `pause` when the reader is
   * behind. What it throws aborts the request and rejects the call.
   */
  onEvent(event: EventSourceMessage): 'continue' | 'pause' | 'end';
  readonly onDrain: ProviderSink['onDrain'];
}

/** One vendor's HTTP API: posts JSON, reads server-sent events. */
export class VendorHttpClient {
  readonly #endpoint: Endpoint;
  readonly #timeouts: ProviderTimeouts;
  readonly #pool: Pool;

  /** @throws Error when the base URL can't be used. */
  constructor(baseUrl: string, timeouts: ProviderTimeouts) {
    this.#endpoint = parseEndpoint(baseUrl);
    this.#timeouts = timeouts;
    this.#pool = new Pool(this.#endpoint.origin, {
      connections: MAX_CONNECTIONS,
      connect: { timeout: timeouts.connectMs },
      headersTimeout: timeouts.idleMs,
      bodyTimeout: timeouts.idleMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
    });
  }

  /**
   * Resolves when an event ended the answer (`true`) or the body is over without one (`false`).
   *
   * @throws ProviderError; what `onEvent` threw; the signal's reason.
   */
  stream(call: StreamCall, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(asError(signal.reason));
        return;
      }
      const reader = new EventStreamReader(call, {
        resolve: (ended) => settle(() => resolve(ended)),
        reject: (error) => settle(() => reject(error)),
      });
      const onAbort = (): void => reader.cancel(asError(signal.reason));
      const total = setTimeout(() => {
        reader.cancel(new ProviderError('timeout', 'the answer took too long'));
      }, this.#timeouts.totalMs);
      const settle = (then: () => void): void => {
        clearTimeout(total);
        signal.removeEventListener('abort', onAbort);
        then();
      };
      signal.addEventListener('abort', onAbort);
      this.#pool.dispatch(
        {
          method: 'POST',
          path: this.#endpoint.path(call.path),
          headers: {
            ...call.headers,
            'content-type': 'application/json',
            accept: 'text/event-stream',
            'user-agent': 'arrakis-finn',
          },
          body: call.body,
        },
        reader,
      );
    });
  }

  /**
   * Whether a GET is answered. So is one that is refused for what it asks: a path that isn't there,
   * a key that may complete but not list (403), too many lists (429). @throws ProviderError
   */
  async probe(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<void> {
    const response = await this.#pool
      .request({ method: 'GET', path: this.#endpoint.path(path), headers, signal })
      .catch((error: unknown) => {
        signal.throwIfAborted();
        throw transportError(error, 'waiting');
      });
    await response.body.dump({ limit: MAX_DISCARDED_BYTES }).catch(() => undefined);
    const { statusCode } = response;
    if (statusCode < 300 || ANSWERS_TO_A_PROBE.has(statusCode)) return;
    throw statusError(statusCode, response.headers, Date.now());
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}

interface Outcome {
  resolve(ended: boolean): void;
  reject(error: Error): void;
}

/** Feeds one response to the parser, and settles exactly once. */
class EventStreamReader implements Dispatcher.DispatchHandler {
  readonly #call: StreamCall;
  readonly #outcome: Outcome;
  // Keeps the bytes of a character that is split over two chunks.
  readonly #decoder = new StringDecoder('utf8');
  readonly #parser;
  #controller: Dispatcher.DispatchController | undefined;
  #phase: Phase = 'connecting';
  #settled = false;
  #failure: Error | undefined;
  #pauseWanted = false;
  #discardedBytes = 0;
  #discarding = false;

  constructor(call: StreamCall, outcome: Outcome) {
    this.#call = call;
    this.#outcome = outcome;
    this.#parser = createParser({
      maxBufferSize: MAX_EVENT_CHARS,
      onEvent: (event) => this.#onEvent(event),
      onError: (error) => {
        // Unknown fields are the sender's business (the SSE standard ignores them).
        if (error.type === 'max-buffer-size-exceeded') {
          throw new ProviderError('protocol_error', 'the provider sent an event without end');
        }
      },
    });
  }

  /** Ends the exchange at once, in whatever phase it is. */
  cancel(reason: Error): void {
    this.#fail(reason);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#phase = 'waiting';
    if (this.#failure !== undefined) controller.abort(this.#failure);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    this.#phase = 'streaming';
    if (status !== 200) {
      this.#discarding = true;
      this.#settle(() => this.#outcome.reject(statusError(status, headers, Date.now())));
      return;
    }
    if (!isEventStream(headers)) {
      this.#fail(new ProviderError('protocol_error', 'the provider sent no event stream'));
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#discarding) {
      this.#discardedBytes += chunk.length;
      if (this.#discardedBytes > MAX_DISCARDED_BYTES) controller.abort(new Error('not needed'));
      return;
    }
    if (this.#settled) return;
    try {
      this.#parser.feed(this.#decoder.write(chunk));
    } catch (error) {
      this.#fail(asError(error));
      return;
    }
    if (this.#pauseWanted) this.#pause(controller);
  }

  onResponseEnd(): void {
    this.#settle(() => this.#outcome.resolve(false));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#settle(() => this.#outcome.reject(transportError(error, this.#phase)));
  }

  #onEvent(event: EventSourceMessage): void {
    if (this.#settled) return;
    const next = this.#call.onEvent(event);
    if (next === 'pause') this.#pauseWanted = true;
    if (next === 'end') {
      // The rest of the body is read and dropped: some vendors keep the connection open a while.
      this.#discarding = true;
      this.#settle(() => this.#outcome.resolve(true));
    }
  }

  #pause(controller: Dispatcher.DispatchController): void {
    this.#pauseWanted = false;
    if (this.#settled) return;
    controller.pause();
    this.#call.onDrain(() => controller.resume());
  }

  #fail(error: Error): void {
    if (this.#settled) return;
    this.#failure = error;
    this.#settle(() => this.#outcome.reject(error));
    this.#controller?.abort(error);
  }

  #settle(then: () => void): void {
    if (this.#settled) return;
    this.#settled = true;
    then();
  }
}

/** Some servers leave the type out; an answer of another type is another protocol. */
function isEventStream(headers: Record<string, string | string[] | undefined>): boolean {
  const encoding = String(headers['content-encoding'] ?? 'identity');
  const type = String(headers['content-type'] ?? '').toLowerCase();
  return encoding === 'identity' && (type === '' || type.startsWith('text/event-stream'));
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
