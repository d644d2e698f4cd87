import { answerText, isTextAt } from '../lib/directive.ts';

/** An answer that is not what was asked for. Figures of such a run mean nothing. */
export class WrongAnswerError extends Error {
  constructor(what: string) {
    super(what);
    this.name = 'WrongAnswerError';
  }
}

interface Completion {
  readonly choices?: readonly {
    readonly message?: { readonly content?: unknown };
    readonly finish_reason?: unknown;
  }[];
  readonly usage?: { readonly completion_tokens?: unknown };
}

/** @throws WrongAnswerError */
export function checkPlainAnswer(body: string, tokens: number): void {
  const answer = JSON.parse(body) as Completion;
  const [choice] = answer.choices ?? [];
  const isRight =
    choice?.message?.content === answerText(tokens) &&
    choice.finish_reason === 'stop' &&
    answer.usage?.completion_tokens === tokens;
  if (!isRight) throw new WrongAnswerError(`a plain answer is wrong: ${body.slice(0, 300)}`);
}

const CONTENT = '"content":"';
/** Longest thing that is looked for; more than that is not kept between two reads. */
const MAX_TAIL = 4096;

/**
 * Follows a stream of `chat.completion.chunk` events without parsing each: the words of our fake need
 * no escapes, so the text between the quotes is the text. Order and completeness are checked exactly.
 */
export class StreamCheck {
  readonly #tokens: number;
  readonly #length: number;
  #tail = '';
  #offset = 0;
  #sawUsage = false;
  #sawStop = false;
  #sawDone = false;

  constructor(tokens: number) {
    this.#tokens = tokens;
    this.#length = answerText(tokens).length;
  }

  /** Takes what arrived and returns how many pieces of text were in it. @throws WrongAnswerError */
  take(bytes: Buffer): number {
    const text = this.#tail + bytes.toString('latin1');
    const end = text.lastIndexOf('\n\n') + 2;
    if (end === 1) {
      if (text.length > MAX_TAIL) throw new WrongAnswerError('an event has no end');
      this.#tail = text;
      return 0;
    }
    this.#tail = text.slice(end);
    const pieces = this.#takeContent(text, end);
    if (this.#offset === this.#length) this.#takeEnd(text.slice(0, end));
    return pieces;
  }

  /** @throws WrongAnswerError unless all was there. */
  finish(): void {
    const isWhole = this.#offset === this.#length && this.#sawDone && this.#tail === '';
    if (isWhole && this.#sawStop && this.#sawUsage) return;
    const seen = `${this.#offset} of ${this.#length} characters, stop ${this.#sawStop}, usage ${this.#sawUsage}, [DONE] ${this.#sawDone}`;
    throw new WrongAnswerError(
      `a stream is incomplete: ${seen}; left: ${this.#tail.slice(0, 200)}`,
    );
  }

  #takeContent(text: string, end: number): number {
    let pieces = 0;
    for (let at = text.indexOf(CONTENT); at !== -1 && at < end; at = text.indexOf(CONTENT, at)) {
      at += CONTENT.length;
      const close = text.indexOf('"', at);
      if (close === at) continue;
      const content = text.slice(at, close);
      if (!isTextAt(content, this.#offset)) {
        throw new WrongAnswerError(`at character ${this.#offset} of a stream: ${content}`);
      }
      this.#offset += content.length;
      pieces += 1;
    }
    return pieces;
  }

  #takeEnd(text: string): void {
    this.#sawStop ||= text.includes('"finish_reason":"stop"');
    this.#sawUsage ||= text.includes(`"completion_tokens":${this.#tokens},`);
    this.#sawDone ||= text.includes('data: [DONE]');
  }
}
