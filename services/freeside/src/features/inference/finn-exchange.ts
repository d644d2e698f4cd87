import { CONTRACT_VERSION, HEADERS, POOLS, PROBLEMS, type ProblemCode } from '@arrakis/contracts';
import type { Dispatcher } from 'undici';
import type {
  FinnAttempt,
  FinnBody,
  FinnBodySink,
  FinnHead,
  FinnRequest,
  UnavailableReason,
} from './finn-attempt.ts';

const MAX_PROBLEM_BYTES = 16 * 1024;
const GONE = new Error('the client has gone');
const LATE = new Error('the deadline has passed');

/** One request and its answer: `waiting` → `opening` (first byte known) → `reading` → `closed`. */
export class Exchange implements Dispatcher.DispatchHandler, FinnBody {
  readonly #request: FinnRequest;
  readonly #onVersionMismatch: (version: string) => void;
  readonly #resolve: (attempt: FinnAttempt) => void;
  readonly #deadline: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | undefined;
  #stopReason: Error | undefined;
  #status = 0;
  #head: FinnHead | undefined;
  #retryAfterSeconds: number | undefined;
  #problem: Buffer[] = [];
  #problemBytes = 0;
  #settled = false;
  #closed = false;
  #pausedByReader = false;
  #sink: FinnBodySink | undefined;
  /** What arrived before a reader took over: one chunk, and perhaps the end. */
  #early: (() => void)[] = [];

  constructor(
    request: FinnRequest,
    onVersionMismatch: (version: string) => void,
    resolve: (attempt: FinnAttempt) => void,
  ) {
    this.#request = request;
    this.#onVersionMismatch = onVersionMismatch;
    this.#resolve = resolve;
    this.#deadline = setTimeout(() => this.#stop(LATE), request.timeoutMs);
    request.signal.addEventListener('abort', this.#onClientGone);
    if (request.signal.aborted) this.#stop(GONE);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#stopReason !== undefined) controller.abort(this.#stopReason);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (statusCode < 200) return;
    this.#status = statusCode;
    this.#head = readHead(headers);
    this.#retryAfterSeconds = readInteger(headers['retry-after']);
    const version = this.#head.contractVersion ?? 'none';
    if (version !== CONTRACT_VERSION) this.#onVersionMismatch(version);
    if (statusCode === 200 && !this.#expected(headers['content-type'])) {
      this.#settle({ kind: 'unavailable', reason: 'protocol_error', retryAfterSeconds: undefined });
      controller.abort(new Error('an unexpected content type'));
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#status !== 200) {
      this.#collectProblem(controller, chunk);
    } else if (this.#sink === undefined) {
      this.#early.push(() => this.#sink?.onData(chunk));
      controller.pause();
      this.#open();
    } else {
      this.#sink.onData(chunk);
    }
  }

  onResponseEnd(
    _controller: Dispatcher.DispatchController,
    trailers: Record<string, string | string[] | undefined> | undefined,
  ): void {
    this.#close();
    if (this.#status !== 200) {
      this.#settle(this.#answerWithoutBody());
      return;
    }
    const tokenCount = readInteger(trailers?.[HEADERS.tokenCount]);
    this.#deliver(() => this.#sink?.onEnd(tokenCount));
    this.#open();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#close();
    if (!this.#settled) {
      this.#settle(this.#failure(error));
      return;
    }
    const reason = isTimeout(error) ? 'timeout' : 'cut';
    this.#deliver(() => this.#sink?.onError(reason));
  }

  read(sink: FinnBodySink): void {
    this.#sink = sink;
    const early = this.#early;
    this.#early = [];
    for (const deliver of early) deliver();
    if (!this.#pausedByReader) this.resume();
  }

  pause(): void {
    this.#pausedByReader = true;
    this.#controller?.pause();
  }

  resume(): void {
    this.#pausedByReader = false;
    if (!this.#closed) this.#controller?.resume();
  }

  abort(): void {
    this.#stop(GONE);
  }

  readonly #onClientGone = (): void => this.#stop(GONE);

  /** Ends the exchange from our side; before the first byte that is also its result. */
  #stop(reason: Error): void {
    if (this.#closed || this.#stopReason !== undefined) return;
    this.#stopReason = reason;
    this.#controller?.abort(reason);
    // A request that still waits for a connection is not told: it is stopped when it starts.
    if (!this.#settled) this.#settle(this.#failure(reason));
  }

  #open(): void {
    if (this.#head === undefined) return;
    this.#settle({ kind: 'streaming', head: this.#head, body: this });
  }

  #settle(attempt: FinnAttempt): void {
    if (this.#settled) return;
    this.#settled = true;
    if (attempt.kind !== 'streaming') this.#close();
    this.#resolve(attempt);
  }

  #close(): void {
    this.#closed = true;
    clearTimeout(this.#deadline);
    this.#request.signal.removeEventListener('abort', this.#onClientGone);
  }

  #deliver(event: () => void): void {
    if (this.#stopReason === GONE) return;
    if (this.#sink === undefined) this.#early.push(event);
    else event();
  }

  #collectProblem(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#problemBytes += chunk.length;
    if (this.#problemBytes <= MAX_PROBLEM_BYTES) {
      this.#problem.push(chunk);
      return;
    }
    this.#problem = [];
    this.#settle(this.#answerWithoutBody());
    controller.abort(new Error('a problem document beyond its bound'));
  }

  #answerWithoutBody(): FinnAttempt {
    const status = this.#status;
    const retryAfterSeconds = this.#retryAfterSeconds;
    if (status < 400) return { kind: 'unavailable', reason: 'protocol_error', retryAfterSeconds };
    const problem = readProblem(Buffer.concat(this.#problem));
    if (status < 500) return { kind: 'refused', status, ...problem };
    const reason = problem.code === 'inference_failed' ? 'model_failed' : 'server_error';
    return { kind: 'unavailable', reason, retryAfterSeconds };
  }

  #failure(error: Error): FinnAttempt {
    if (error === GONE) return { kind: 'aborted' };
    const reason = isTimeout(error) ? 'timeout' : connectionFault(error, this.#status !== 0);
    return { kind: 'unavailable', reason, retryAfterSeconds: undefined };
  }

  #expected(contentType: string | string[] | undefined): boolean {
    const mediaType = this.#request.body.stream ? 'text/event-stream' : 'application/json';
    return typeof contentType === 'string' && contentType.startsWith(mediaType);
  }
}

function isTimeout(error: Error): boolean {
  return error === LATE || /^UND_ERR_(?:HEADERS|BODY)_TIMEOUT$/.test(codeOf(error));
}

function connectionFault(error: Error, answered: boolean): UnavailableReason {
  const code = codeOf(error);
  if (code.startsWith('HPE_')) return 'protocol_error';
  const refused = /^(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|UND_ERR_CONNECT_TIMEOUT)$/;
  return !answered && refused.test(code) ? 'connect_failed' : 'connection_lost';
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function readHead(headers: Record<string, string | string[] | undefined>): FinnHead {
  const pool = headers[HEADERS.poolUsed];
  return {
    poolUsed: POOLS.find((candidate) => candidate === pool),
    personalityId: single(headers[HEADERS.personalityId]),
    model: modelName(headers[HEADERS.modelUsed]),
    contractVersion: single(headers[HEADERS.contractVersion]),
    promptTokens: readInteger(headers[HEADERS.promptTokens]),
    tokenCount: readInteger(headers[HEADERS.tokenCount]),
  };
}

/** Only what is fit to be sent on as a header, whatever the peer wrote. */
function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && /^[\x21-\x7e]{1,64}$/.test(value) ? value : undefined;
}

/** For the receipt alone. Vendors' model names may be long, and those of local files hold blanks. */
function modelName(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && /^[\x20-\x7e]{1,200}$/.test(value) ? value : undefined;
}

function readInteger(value: string | string[] | undefined): number | undefined {
  return typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

function readProblem(body: Buffer): {
  code: ProblemCode | undefined;
  detail: string | undefined;
} {
  try {
    const parsed: unknown = JSON.parse(body.toString());
    if (typeof parsed !== 'object' || parsed === null)
      return { code: undefined, detail: undefined };
    const code = 'code' in parsed && typeof parsed.code === 'string' ? parsed.code : '';
    const detail =
      'detail' in parsed && typeof parsed.detail === 'string' ? parsed.detail : undefined;
    return { code: isProblemCode(code) ? code : undefined, detail };
  } catch {
    return { code: undefined, detail: undefined };
  }
}

function isProblemCode(code: string): code is ProblemCode {
  return Object.hasOwn(PROBLEMS, code);
}
