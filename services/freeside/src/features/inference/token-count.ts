import { setImmediate as nextTurn } from 'node:timers/promises';
import { overheadTokens, promptBytes, textsOf, type PromptInput } from './prompt.domain.ts';

type CountTokens = (text: string) => number;

/** The exact count is only worth its time for prompts up to this. */
export const COUNTABLE_PROMPT_BYTES = 64 * 1024;
/** What another vocabulary may spend beyond the larger of the two that are counted. */
const MARGIN = 1.25;
/**
 * Merging is quadratic in a piece's length, and a run without a break is one piece: 64 KiB of
 * blanks would stop the event loop for seconds. Cutting can only raise the count.
 */
const PIECE_CHARACTERS = 256;
/** Other requests get their turn after so many pieces, a few milliseconds at worst. */
const PIECES_PER_TURN = 8;
/** A refused hold costs its key nothing, so counting for the refused must not take all the CPU. */
const MAX_CONCURRENT_COUNTS = 2;

/**
 * Counts prompts with real vocabularies, for requests that the cheap bound alone would refuse.
 * The vocabularies (some 100 MB) are loaded at the first count.
 */
export class TokenCounter {
  #vocabularies: Promise<readonly CountTokens[]> | undefined;
  #running = 0;

  /**
   * A closer bound than `boundPromptTokens`: the larger of two common vocabularies, a quarter
   * more, and the same overhead. `undefined` when the prompt is too long, or the counter too busy,
   * to be worth it.
   */
  async count(input: PromptInput): Promise<number | undefined> {
    if (this.#running >= MAX_CONCURRENT_COUNTS) return undefined;
    if (promptBytes(input) > COUNTABLE_PROMPT_BYTES) return undefined;
    this.#running += 1;
    try {
      this.#vocabularies ??= loadVocabularies();
      const counts = await countAll(await this.#vocabularies, textsOf(input));
      return Math.ceil(Math.max(...counts) * MARGIN) + overheadTokens(textsOf(input).length);
    } finally {
      this.#running -= 1;
    }
  }
}

async function countAll(
  vocabularies: readonly CountTokens[],
  texts: readonly string[],
): Promise<readonly number[]> {
  const sums = vocabularies.map(() => 0);
  let sinceTurn = 0;
  for (const piece of texts.flatMap(cutIntoPieces)) {
    vocabularies.forEach((count, index) => (sums[index] = (sums[index] ?? 0) + count(piece)));
    sinceTurn += 1;
    if (sinceTurn === PIECES_PER_TURN) {
      sinceTurn = 0;
      await nextTurn();
    }
  }
  return sums;
}

async function loadVocabularies(): Promise<readonly CountTokens[]> {
  const [o200k, cl100k] = await Promise.all([
    import('gpt-tokenizer/encoding/o200k_base'),
    import('gpt-tokenizer/encoding/cl100k_base'),
  ]);
  // What looks like a control token is text here, as it is for finn.
  const asText = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };
  return [(text) => o200k.countTokens(text, asText), (text) => cl100k.countTokens(text, asText)];
}

/** Pieces end at a blank where there is one near, and never within a surrogate pair. */
export function cutIntoPieces(text: string): string[] {
  const pieces: string[] = [];
  let start = 0;
  while (text.length - start > PIECE_CHARACTERS) {
    const blank = text.lastIndexOf(' ', start + PIECE_CHARACTERS - 1);
    let end = blank > start + PIECE_CHARACTERS / 2 ? blank : start + PIECE_CHARACTERS;
    if (isHighSurrogate(text.charCodeAt(end - 1))) end -= 1;
    pieces.push(text.slice(start, end));
    start = end;
  }
  if (start < text.length) pieces.push(text.slice(start));
  return pieces;
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}
