import type { Dispatcher, Pool } from 'undici';
import { formatDirective } from '../lib/directive.ts';
import { checkPlainAnswer, StreamCheck, WrongAnswerError } from './answer-check.ts';
import type { Load } from './protocol.ts';

/** Times of one call, read from the monotonic clock. */
export interface CallTimes {
  readonly delayMs: number;
  readonly firstTokenAtMs: number;
  readonly endAtMs: number;
}

/** Called with each read that brought text: when, and how many pieces. */
export type OnText = (atMs: number, pieces: number) => void;

const QUESTION =
  'Summarise in two sentences why a gateway should hold the worst-case cost of an answer before ' +
  'it asks the model, and settle to what was delivered afterwards.';
/** Longer than any answer takes unless something is broken. */
const TIMEOUT_MS = 60_000;

/** Makes calls of one load; each answer is checked. */
export class Caller {
  readonly #pool: Pool;
  readonly #load: Load;
  readonly #headers: Record<string, string>;

  constructor(pool: Pool, load: Load) {
    this.#pool = pool;
    this.#load = load;
    this.#headers = { ...load.target.headers, 'content-type': 'application/json' };
  }

  /** @throws WrongAnswerError, or what undici throws. */
  call(onText?: OnText): Promise<CallTimes> {
    const { target, stream, tokens, paceMs, delayMs } = this.#load;
    const delay = delayMs[0] + Math.floor(Math.random() * (delayMs[1] - delayMs[0] + 1));
    const directive = formatDirective({ delayMs: delay, tokens, paceMs });
    const body = JSON.stringify({
      model: target.model,
      messages: [{ role: 'user', content: `${QUESTION} ${directive}` }],
      max_tokens: tokens,
      ...(stream ? { stream: true, stream_options: { include_usage: true } } : {}),
    });
    const options: Dispatcher.DispatchOptions = {
      method: 'POST',
      path: target.path,
      headers: this.#headers,
      body,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
    };
    return new Promise((resolve, reject) => {
      const settle = {
        resolve: (times: Omit<CallTimes, 'delayMs'>) => resolve({ ...times, delayMs: delay }),
        reject,
      };
      const handler = stream
        ? new StreamHandler(tokens, onText, settle)
        : new PlainHandler(tokens, settle);
      this.#pool.dispatch(options, handler);
    });
  }
}

interface Settle {
  resolve(times: Omit<CallTimes, 'delayMs'>): void;
  reject(error: Error): void;
}

/** undici's own callbacks: its `request()` makes streams and promises that cost more than the call. */
abstract class Handler implements Dispatcher.DispatchHandler {
  protected readonly settle: Settle;
  #status = 0;
  #errorText = '';

  constructor(settle: Settle) {
    this.settle = settle;
  }

  onRequestStart(): void {
    // Nothing to prepare, but undici takes a handler without it for one of its old kind.
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.#status = status;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#status !== 200) {
      this.#errorText += chunk.toString('latin1');
      return;
    }
    try {
      this.take(chunk);
    } catch (error) {
      controller.abort(asError(error));
    }
  }

  onResponseEnd(): void {
    if (this.#status !== 200) {
      const text = this.#errorText.slice(0, 500);
      this.settle.reject(new WrongAnswerError(`answered ${this.#status}: ${text}`));
      return;
    }
    try {
      this.end();
    } catch (error) {
      this.settle.reject(asError(error));
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.settle.reject(error);
  }

  protected abstract take(chunk: Buffer): void;
  protected abstract end(): void;
}

class PlainHandler extends Handler {
  readonly #tokens: number;
  #body = '';

  constructor(tokens: number, settle: Settle) {
    super(settle);
    this.#tokens = tokens;
  }

  protected override take(chunk: Buffer): void {
    this.#body += chunk.toString('latin1');
  }

  protected override end(): void {
    const endAtMs = performance.now();
    checkPlainAnswer(this.#body, this.#tokens);
    this.settle.resolve({ firstTokenAtMs: endAtMs, endAtMs });
  }
}

class StreamHandler extends Handler {
  readonly #check: StreamCheck;
  readonly #onText: OnText | undefined;
  #firstTokenAtMs = 0;

  constructor(tokens: number, onText: OnText | undefined, settle: Settle) {
    super(settle);
    this.#check = new StreamCheck(tokens);
    this.#onText = onText;
  }

  protected override take(chunk: Buffer): void {
    const atMs = performance.now();
    const pieces = this.#check.take(chunk);
    if (pieces === 0) return;
    if (this.#firstTokenAtMs === 0) this.#firstTokenAtMs = atMs;
    this.#onText?.(atMs, pieces);
  }

  protected override end(): void {
    const endAtMs = performance.now();
    this.#check.finish();
    this.settle.resolve({ firstTokenAtMs: this.#firstTokenAtMs, endAtMs });
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
