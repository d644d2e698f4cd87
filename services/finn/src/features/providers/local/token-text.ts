/** A token may be a part of a character; UTF-8 spreads one over at most four bytes. */
const MAX_HELD_TOKENS = 4;

/**
 * Turns tokens into text as they come, holding back those that only together make a character.
 * `pending` counts what is held.
 */
export class TokenText<T> {
  readonly #detokenize: (tokens: T[]) => string;
  #held: T[] = [];

  constructor(detokenize: (tokens: T[]) => string) {
    this.#detokenize = detokenize;
  }

  /** The text that `token` completes, and for how many tokens it stands; undefined when held. */
  push(token: T): { readonly text: string; readonly tokens: number } | undefined {
    this.#held.push(token);
    const text = this.#detokenize(this.#held);
    const isWhole = !text.endsWith('\uFFFD');
    if (!isWhole && this.#held.length < MAX_HELD_TOKENS) return undefined;
    const tokens = this.#held.length;
    this.#held = [];
    return { text, tokens };
  }
}
