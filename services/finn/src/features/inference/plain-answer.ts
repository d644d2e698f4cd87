import {
  CONTRACT_VERSION,
  HEADERS,
  type FinishReason,
  type InferenceResponse,
  type Usage,
} from '@arrakis/contracts';
import type { FastifyReply } from 'fastify';
import { headerText } from '@arrakis/service-kit';
import type { Answer, AnswerHead } from './answer.ts';
import { ended, followCaller } from './caller.ts';

/** An answer in one piece: nothing is delivered until all of it is. */
export class PlainAnswer implements Answer {
  readonly callerGone: AbortSignal;
  readonly isCommitted = false;
  readonly #reply: FastifyReply;
  #head: AnswerHead | undefined;
  #onDelivered: (completionTokens: number) => void = () => undefined;
  #text = '';
  #delivered = false;

  constructor(reply: FastifyReply) {
    this.#reply = reply;
    this.callerGone = followCaller(reply.raw);
  }

  get deliveredText(): string {
    return this.#delivered ? this.#text : '';
  }

  begin(head: AnswerHead, onDelivered: (completionTokens: number) => void): void {
    this.#head = head;
    this.#onDelivered = onDelivered;
    this.#text = '';
  }

  write(text: string): boolean {
    this.#text += text;
    return true;
  }

  onDrain(resume: () => void): void {
    resume();
  }

  async complete(usage: Usage, finishReason: FinishReason): Promise<boolean> {
    if (this.callerGone.aborted || this.#head === undefined) return false;
    const body: InferenceResponse = { content: this.#text, usage, finish_reason: finishReason };
    void this.#reply
      .headers({
        [HEADERS.contractVersion]: CONTRACT_VERSION,
        [HEADERS.poolUsed]: this.#head.poolUsed,
        [HEADERS.personalityId]: this.#head.personalityId,
        [HEADERS.promptTokens]: String(this.#head.promptTokens),
        [HEADERS.modelUsed]: headerText(this.#head.model),
        [HEADERS.tokenCount]: String(usage.completion_tokens),
        'cache-control': 'no-store',
      })
      .send(body);
    this.#delivered = await ended(this.#reply.raw);
    if (this.#delivered) this.#onDelivered(usage.completion_tokens);
    return this.#delivered;
  }

  fail(): Promise<void> {
    return Promise.reject(new Error('a plain answer that fails has not begun'));
  }
}
