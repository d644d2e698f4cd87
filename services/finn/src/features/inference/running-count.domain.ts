import { beginningWithin, type CountText } from './counts.domain.ts';

/** No vocabulary has longer tokens; more text than this a token means a provider out of control. */
const MAX_CHARS_PER_TOKEN = 128;
/** More than this a token, on average, is no text that a model writes: worth a real count. */
const UNLIKELY_CHARS_PER_TOKEN = 8;
/** Deltas shorter than this on average may be pieces of tokens. */
const LIKELY_CHARS_PER_TOKEN = 3;
const FIRST_LOOK_CHARS = 4;
const MIN_STEP_CHARS = 16;

export interface RunningCountOptions {
  readonly maxTokens: number;
  /** By the model's tokenizer, or the nearest known one. */
  readonly count: CountText;
}

/**
 * Text and tokens of one answer as they come, and the line that they must not cross.
 *
 * A provider that counts (`local`, `canned`) says how many tokens a delta stands for: the sum is
 * exact, and so is the cut. A vendor's protocol doesn't say. Most send a token per delta, many join
 * several, and some servers and gateways send less than one (a character, the bytes of a rare
 * word). So the number of deltas is neither a reason to end an answer nor a count to charge:
 *
 * - The cut. The vendor was told `max_tokens` and ends by itself. Only what it could not have sent
 *   within it (more deltas, or far more text, than that many tokens) is counted for real, and only a
 *   real count above `max_tokens` cuts. A token has at least one byte, a UTF-16 unit at most three:
 *   text that has grown by a third of the room can't have filled it, so the next count waits for
 *   that much, and at least for a few characters. The overshoot is that few characters.
 * - The running count goes into `id:` and the journal, and settles only if nobody lives to say
 *   better; it must not exceed what was delivered. Deltas are a lower bound as long as each holds a
 *   token. Where they are too short to be believed, the text counted at its last look (each time it
 *   has grown by a quarter) is the bound instead. It never falls, and never exceeds `max_tokens`.
 *
 * The final count is the provider's usage, or a count of the whole text: it corrects both ways.
 */
export class RunningCount {
  readonly #maxTokens: number;
  readonly #count: CountText;
  #text = '';
  #units = 0;
  #isExact = true;
  #tokens = 0;
  #lookAtChars = FIRST_LOOK_CHARS;
  #lookedTokens = 1;
  #checkAtChars = 0;

  constructor(options: RunningCountOptions) {
    this.#maxTokens = options.maxTokens;
    this.#count = options.count;
  }

  /** All that was let through. */
  get text(): string {
    return this.#text;
  }

  /** What it stands for: exact if {@link isExact}, else a lower bound. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Whether the provider counted every delta. */
  get isExact(): boolean {
    return this.#isExact;
  }

  /**
   * Takes the next delta, and returns as much of it as fits. Less than all of it means that the
   * answer has reached its limit.
   *
   * @param tokens what the provider says that it stands for, if it does
   */
  take(delta: string, tokens: number | undefined): string {
    if (tokens === undefined) this.#isExact = false;
    const part = this.#fitting(delta, tokens);
    if (part === '') return part;
    this.#text += part;
    this.#units += Math.max(1, tokens ?? 1);
    this.#tokens = Math.max(this.#tokens, Math.min(this.#believed(), this.#maxTokens));
    return part;
  }

  #fitting(delta: string, tokens: number | undefined): string {
    const charsLeft = this.#maxTokens * MAX_CHARS_PER_TOKEN - this.#text.length;
    const bounded = delta.slice(0, Math.max(0, charsLeft));
    if (this.#isExact) {
      const left = this.#maxTokens - this.#units;
      const isWhole = Math.max(1, tokens ?? 1) <= left && bounded === delta;
      return isWhole ? delta : beginningWithin(bounded, left, this.#count);
    }
    return this.#isOver(this.#text + bounded) || bounded !== delta
      ? beginningWithin(bounded, this.#maxTokens, (part) => this.#count(this.#text + part))
      : delta;
  }

  #isOver(text: string): boolean {
    const isPlausible =
      this.#units < this.#maxTokens && text.length <= this.#maxTokens * UNLIKELY_CHARS_PER_TOKEN;
    if (isPlausible || text.length < this.#checkAtChars) return false;
    const room = this.#maxTokens - this.#count(text);
    this.#checkAtChars = text.length + Math.max(MIN_STEP_CHARS, Math.floor(room / 3));
    return room < 0;
  }

  #believed(): number {
    const chars = this.#text.length;
    if (this.#isExact || chars >= this.#units * LIKELY_CHARS_PER_TOKEN) return this.#units;
    if (chars >= this.#lookAtChars) {
      this.#lookAtChars = Math.ceil(chars * 1.25) + 1;
      this.#lookedTokens = this.#count(this.#text);
    }
    return Math.min(this.#units, this.#lookedTokens);
  }
}
