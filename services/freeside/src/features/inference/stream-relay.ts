import {
  FinishReason,
  SSE_PREFIX,
  Usage,
  type Problem,
  type ProblemCode,
} from '@arrakis/contracts';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { FinnBody, FinnBodySink } from './finn-attempt.ts';
import { SseScanner, type SseEvent } from './sse-scanner.ts';
import type { StreamEncoder } from './stream-encoder.ts';

/** The client's side of a stream. */
export interface ClientStream {
  /** Aborts when the client leaves before the end. */
  readonly signal: AbortSignal;
  /** Sends status and headers: nothing can be refused afterwards. */
  begin(): void;
  /** False when the client is behind: `onDrain`'s callback runs once it has caught up. */
  write(data: Buffer | string): boolean;
  onDrain(resume: () => void): void;
  end(): void;
}

export interface RelayOptions {
  readonly body: FinnBody;
  readonly client: ClientStream;
  readonly encoder: StreamEncoder;
  /** Runs before the head is sent, once the first event is known to be an answer. */
  readonly onBegin: () => void;
  /** Completion tokens handed to the client, after the first and then every `notePeriodMs`. */
  readonly onProgress: (tokens: number) => void;
  readonly notePeriodMs: number;
  readonly nowMs: () => number;
  /** What the client is told when the answer breaks off. */
  readonly problem: (code: ProblemCode) => Problem;
}

/** How a stream ended. `tokens`: completion tokens handed to the client. */
export type RelayEnd =
  | {
      readonly kind: 'done';
      readonly usage: Usage;
      readonly finishReason: FinishReason;
      readonly tokens: number;
    }
  | {
      readonly kind: 'failed';
      /** Whether the client's stream had begun; otherwise the failure is still ours to answer. */
      readonly began: boolean;
      readonly reason: 'error_event' | 'cut' | 'timeout' | 'protocol_error';
      readonly tokens: number;
      /** finn's trailer: its final count in spite of the failure. */
      readonly tokenCount: number | undefined;
    }
  | { readonly kind: 'client_gone'; readonly began: boolean; readonly tokens: number };

const DonePayload = Compile(
  Type.Object({ type: Type.Literal('done'), usage: Usage, finish_reason: FinishReason }),
);

const PREFIXES = {
  token: Buffer.from(SSE_PREFIX.token),
  done: Buffer.from(SSE_PREFIX.done),
  error: Buffer.from(SSE_PREFIX.error),
} as const;

/** Passes one answer on, from finn's first byte to the end, whoever brings it about. */
export async function relayStream(options: RelayOptions): Promise<RelayEnd> {
  const { promise, resolve } = Promise.withResolvers<RelayEnd>();
  const relay = new StreamRelay(options, resolve);
  relay.start();
  return promise;
}

class StreamRelay implements FinnBodySink {
  readonly #options: RelayOptions;
  readonly #resolve: (end: RelayEnd) => void;
  readonly #scanner = new SseScanner((event) => this.#onEvent(event));
  #pending: (Buffer | string)[] = [];
  #flushScheduled = false;
  #began = false;
  #paused = false;
  /** Set by finn's last event; what follows it is not passed on. */
  #last: 'done' | 'error' | 'invalid' | undefined;
  #done: { usage: Usage; finishReason: FinishReason } | undefined;
  #closedToClient = false;
  #resolved = false;
  /** In events that were read, in those that wait for the next write, in those that were written. */
  #seenTokens = 0;
  #pendingTokens = 0;
  #relayedTokens = 0;
  #notedTokens = 0;
  #notedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: RelayOptions, resolve: (end: RelayEnd) => void) {
    this.#options = options;
    this.#resolve = resolve;
  }

  start(): void {
    const { body, client } = this.#options;
    if (client.signal.aborted) {
      this.#onClientGone();
      return;
    }
    client.signal.addEventListener('abort', this.#onClientGone, { once: true });
    body.read(this);
  }

  onData(chunk: Buffer): void {
    if (this.#isOver()) return;
    let bytes: Buffer;
    try {
      bytes = this.#scanner.push(chunk);
    } catch {
      this.#options.body.abort();
      this.#fail('protocol_error', undefined);
      return;
    }
    if (this.#began && bytes.length > 0) this.#enqueue(this.#options.encoder.take(bytes));
    if (this.#last !== undefined) this.#onLastEvent();
  }

  onEnd(tokenCount: number | undefined): void {
    this.#fail(this.#last === 'error' ? 'error_event' : 'cut', tokenCount);
  }

  onError(reason: 'cut' | 'timeout'): void {
    this.#fail(this.#last === 'error' ? 'error_event' : reason, undefined);
  }

  #isOver(): boolean {
    return this.#last !== undefined || this.#resolved;
  }

  #onEvent(event: SseEvent): void {
    if (this.#last !== undefined) return;
    const { data, id } = event;
    if (startsWith(data, PREFIXES.token)) {
      this.#begin();
      this.#seenTokens = id ?? this.#seenTokens + 1;
      this.#options.encoder.onToken(data);
    } else if (startsWith(data, PREFIXES.done)) {
      this.#onDone(data);
    } else if (startsWith(data, PREFIXES.error)) {
      this.#last = 'error';
      if (this.#began) this.#options.encoder.onError(this.#options.problem('inference_failed'));
    }
  }

  #onDone(data: Buffer): void {
    const payload = parse(data);
    if (!DonePayload.Check(payload)) {
      this.#last = 'invalid';
      return;
    }
    this.#begin();
    this.#last = 'done';
    this.#done = { usage: payload.usage, finishReason: payload.finish_reason };
    this.#options.encoder.onDone(payload.usage, payload.finish_reason);
  }

  #begin(): void {
    if (this.#began) return;
    this.#began = true;
    this.#options.onBegin();
    this.#options.client.begin();
  }

  #onLastEvent(): void {
    if (this.#done !== undefined) {
      this.#closeToClient();
      const { usage, finishReason } = this.#done;
      this.#end({ kind: 'done', usage, finishReason, tokens: this.#relayedTokens });
    } else if (this.#last === 'invalid') {
      this.#options.body.abort();
      this.#fail('protocol_error', undefined);
    } else if (this.#began) {
      // finn's trailer may still bring the final count; the client needs not wait for it.
      this.#closeToClient();
    } else {
      this.#fail('error_event', undefined);
    }
  }

  #fail(
    reason: 'error_event' | 'cut' | 'timeout' | 'protocol_error',
    tokenCount: number | undefined,
  ): void {
    if (this.#resolved) return;
    if (this.#began && !this.#closedToClient) {
      const { encoder, problem } = this.#options;
      this.#pending.push(encoder.failure(problem('inference_failed')));
      this.#closeToClient();
    }
    this.#end({
      kind: 'failed',
      began: this.#began,
      reason,
      tokens: this.#relayedTokens,
      tokenCount,
    });
  }

  readonly #onClientGone = (): void => {
    if (this.#resolved || this.#closedToClient) return;
    this.#closedToClient = true;
    this.#pending = [];
    this.#options.body.abort();
    this.#end({ kind: 'client_gone', began: this.#began, tokens: this.#relayedTokens });
  };

  #end(end: RelayEnd): void {
    if (this.#resolved) return;
    this.#resolved = true;
    this.#options.client.signal.removeEventListener('abort', this.#onClientGone);
    // What is left of finn's answer is its trailer: let it come, so that the connection lives on.
    if (this.#paused) this.#options.body.resume();
    this.#resolve(end);
  }

  #closeToClient(): void {
    this.#flush();
    this.#closedToClient = true;
    this.#options.client.end();
  }

  #enqueue(data: Buffer | string): void {
    if (data.length === 0) return;
    this.#pending.push(data);
    this.#pendingTokens = this.#seenTokens;
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(this.#onTurn);
  }

  /** Everything that arrived within one turn of the event loop leaves in one write. */
  readonly #onTurn = (): void => {
    this.#flushScheduled = false;
    if (!this.#closedToClient) this.#flush();
  };

  #flush(): void {
    if (this.#pending.length === 0) return;
    const joined = join(this.#pending);
    this.#pending = [];
    this.#relayedTokens = this.#pendingTokens;
    const keepsUp = this.#options.client.write(joined);
    if (!keepsUp && !this.#paused && this.#last === undefined) this.#waitForClient();
    this.#noteProgress();
  }

  #waitForClient(): void {
    this.#paused = true;
    this.#options.body.pause();
    this.#options.client.onDrain(() => {
      this.#paused = false;
      this.#options.body.resume();
    });
  }

  /** Not for the last write of an answer that is settled in the same turn. */
  #noteProgress(): void {
    if (this.#done !== undefined || this.#relayedTokens === this.#notedTokens) return;
    const nowMs = this.#options.nowMs();
    if (nowMs - this.#notedAtMs < this.#options.notePeriodMs) return;
    this.#notedAtMs = nowMs;
    this.#notedTokens = this.#relayedTokens;
    this.#options.onProgress(this.#relayedTokens);
  }
}

function startsWith(data: Buffer, prefix: Buffer): boolean {
  return (
    data.length >= prefix.length && data.compare(prefix, 0, prefix.length, 0, prefix.length) === 0
  );
}

function join(parts: readonly (Buffer | string)[]): Buffer | string {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  if (parts.every((part) => typeof part === 'string')) return parts.join('');
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
}

function parse(data: Buffer): unknown {
  try {
    return JSON.parse(data.toString()) as unknown;
  } catch {
    return undefined;
  }
}
