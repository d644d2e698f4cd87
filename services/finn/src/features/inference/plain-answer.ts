import { HEADERS, type FinishReason, type InferenceResponse, type Usage } from '@arrakis/contracts';
import type { FastifyReply } from 'fastify';
import { headerText } from '@arrakis/service-kit';
import type { Answer, AnswerHead, Delivered } from './answer.ts';
import { ended, followCaller } from './caller.ts';

/** An answer in one piece: nothing is delivered until all of it is. */
export class PlainAnswer implements Answer {
  readonly callerGone: AbortSignal;
  readonly isCommitted = false;
  readonly #reply: FastifyReply;
  #head: AnswerHead | undefined;
  #onDelivered: (completionTokens: number) => void = () => undefined;
  #text = '';
  #tokens = 0;
  #isDelivered = false;

  constructor(reply: FastifyReply) {
    this.#reply = reply;
    this.callerGone = followCaller(reply.raw);
  }

  get delivered(): Delivered {
    return this.#isDelivered ? { text: this.#text, tokens: this.#tokens } : { text: '', tokens: 0 };
  }

  begin(head: AnswerHead, onDelivered: (completionTokens: number) => void): void {
    this.#head = head;
    this.#onDelivered = onDelivered;
    this.#text = '';
    this.#tokens = 0;
  }

  correctPrompt(promptTokens: number): void {
    if (this.#head !== undefined) this.#head = { ...this.#head, promptTokens };
  }

  write(text: string, tokensSoFar: number): boolean {
    this.#text += text;
    this.#tokens = tokensSoFar;
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
        [HEADERS.poolUsed]: this.#head.poolUsed,
        [HEADERS.personalityId]: this.#head.personalityId,
        [HEADERS.promptTokens]: String(this.#head.promptTokens),
        [HEADERS.modelUsed]: headerText(this.#head.model),
        [HEADERS.tokenCount]: String(usage.completion_tokens),
        'cache-control': 'no-store',
      })
      .send(body);
    this.#isDelivered = await ended(this.#reply.raw);
    if (this.#isDelivered) this.#onDelivered(usage.completion_tokens);
    return this.#isDelivered;
  }

  fail(): Promise<void> {
    return Promise.reject(new Error('a plain answer that fails has not begun'));
  }
}
