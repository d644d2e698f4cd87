import type { ServerResponse } from 'node:http';
import {
  formatDoneEvent,
  formatErrorEvent,
  formatTokenEvent,
  HEADERS,
  SSE_CONTENT_TYPE,
  type FinishReason,
  type Problem,
  type Usage,
} from '@arrakis/contracts';
import { headerText } from '@arrakis/service-kit';
import type { Answer, AnswerHead, Delivered } from './answer.ts';
import { ended, followCaller } from './caller.ts';

/** What may wait for the end of the turn before the model is asked to pause. */
const MAX_PENDING_CHARS = 64 * 1024;

interface Mark {
  readonly tokens: number;
  readonly chars: number;
}

/**
 * An answer as server-sent events. The head goes out with the first token, so that until then a
 * failure has a status of its own. Tokens of one turn of the event loop leave in one write; they
 * count as delivered when the operating system has taken them.
 */
export class SseAnswer implements Answer {
  readonly callerGone: AbortSignal;
  readonly #response: ServerResponse;
  readonly #onCommit: () => void;
  #head: AnswerHead | undefined;
  #onDelivered: (completionTokens: number) => void = () => undefined;
  #pending = '';
  #text = '';
  #tokens = 0;
  /** Written, and not yet confirmed; in order. */
  readonly #marks: Mark[] = [];
  #delivered: Mark = { tokens: 0, chars: 0 };
  #flushScheduled = false;
  #blocked = false;
  #resume: (() => void) | undefined;

  /** @param onCommit called once, before the first byte is written */
  constructor(response: ServerResponse, onCommit: () => void) {
    this.#response = response;
    this.#onCommit = onCommit;
    this.callerGone = followCaller(response);
    response.on('drain', () => this.#unblock());
  }

  get isCommitted(): boolean {
    return this.#text !== '' || this.#response.headersSent;
  }

  get delivered(): Delivered {
    const { chars, tokens } = this.#delivered;
    return { text: this.#text.slice(0, chars), tokens };
  }

  begin(head: AnswerHead, onDelivered: (completionTokens: number) => void): void {
    this.#head = head;
    this.#onDelivered = onDelivered;
  }

  correctPrompt(promptTokens: number): void {
    if (this.#head !== undefined) this.#head = { ...this.#head, promptTokens };
  }

  write(text: string, tokensSoFar: number): boolean {
    this.#text += text;
    this.#tokens = tokensSoFar;
    this.#pending += formatTokenEvent(text, tokensSoFar);
    if (this.#pending.length > MAX_PENDING_CHARS) this.#blocked = true;
    if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      setImmediate(this.#flush);
    }
    return !this.#blocked;
  }

  onDrain(resume: () => void): void {
    if (this.#blocked) this.#resume = resume;
    else resume();
  }

  async complete(usage: Usage, finishReason: FinishReason): Promise<boolean> {
    return this.#end(formatDoneEvent(usage, finishReason), usage);
  }

  async fail(error: Problem, usage: Usage): Promise<void> {
    await this.#end(formatErrorEvent(error), usage);
  }

  readonly #flush = (): void => {
    this.#flushScheduled = false;
    if (this.#pending === '' || !this.#isWritable()) return;
    this.#sendHead();
    const chunk = this.#pending;
    this.#pending = '';
    this.#marks.push({ tokens: this.#tokens, chars: this.#text.length });
    this.#blocked = !this.#response.write(chunk, this.#onWritten);
    if (!this.#blocked) this.#unblock();
  };

  readonly #onWritten = (error?: Error | null): void => {
    const mark = this.#marks.shift();
    if (mark === undefined || (error !== undefined && error !== null)) return;
    this.#delivered = mark;
    this.#onDelivered(mark.tokens);
  };

  #unblock(): void {
    this.#blocked = false;
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  async #end(lastEvent: string, usage: Usage): Promise<boolean> {
    if (!this.#isWritable()) return false;
    // What is left of the text, the last event and the trailer leave in one write; `end` uncorks.
    // The socket, not the response: a corked response writes its last chunk after the trailer.
    this.#response.socket?.cork();
    this.#flush();
    this.#sendHead();
    if (this.#response.chunkedEncoding) {
      this.#response.addTrailers({ [HEADERS.tokenCount]: String(usage.completion_tokens) });
    }
    this.#response.end(lastEvent);
    return ended(this.#response);
  }

  #isWritable(): boolean {
    return !this.callerGone.aborted && !this.#response.destroyed && !this.#response.writableEnded;
  }

  #sendHead(): void {
    const response = this.#response;
    if (response.headersSent || this.#head === undefined) return;
    this.#onCommit();
    // HTTP/1.0 knows neither chunks nor trailers.
    const trailer = response.useChunkedEncodingByDefault ? { trailer: HEADERS.tokenCount } : {};
    response.writeHead(200, {
      'content-type': SSE_CONTENT_TYPE,
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      [HEADERS.poolUsed]: this.#head.poolUsed,
      [HEADERS.personalityId]: this.#head.personalityId,
      [HEADERS.promptTokens]: String(this.#head.promptTokens),
      [HEADERS.modelUsed]: headerText(this.#head.model),
      ...trailer,
    });
  }
}
