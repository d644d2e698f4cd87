import { createRequire } from 'node:module';
import type * as Encoding from 'gpt-tokenizer/encoding/o200k_base';

export type TokenizerName = 'o200k_base' | 'cl100k_base';

/** Counts the tokens of a text. Never throws, whatever the text holds. */
export interface Tokenizer {
  count(text: string): number;
}

/**
 * The pair merging behind one encoding is quadratic in the length of a run without a word
 * boundary (64 KiB of one letter take a second, of one emoji eighteen), so no run longer than a
 * window is given to it. A cut through a run changes the count by a token or so per window.
 */
const WINDOW_CHARS = 256;
/** How far back from a window's end a space between words is looked for, where a cut is exact. */
const BOUNDARY_SEARCH_CHARS = 64;
/** Above this length only every n-th window is counted and the rest is taken to be alike. */
const EXACT_CHARS = 64 * 1024;
/** Merged runs that an encoding remembers; its default of 100,000 can hold hundreds of MB. */
const MERGE_CACHE_ENTRIES = 8192;

/** Special tokens in a user's text are text: nothing is allowed, so nothing is refused. */
const PLAIN_TEXT = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };

const require = createRequire(import.meta.url);
const loaded = new Map<TokenizerName, Tokenizer>();

/**
 * The tokenizer of an encoding. Its tables (o200k: 150 ms and 75 MB, cl100k: 55 ms and 15 MB
 * more) are loaded by the first call and shared: call it at start, not on a request.
 */
export function loadTokenizer(name: TokenizerName): Tokenizer {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const encoding = loadEncoding(name);
  encoding.setMergeCacheSize(MERGE_CACHE_ENTRIES);
  const tokenizer = boundedTokenizer((text) => encoding.countTokens(text, PLAIN_TEXT));
  // The first count builds lazy tables; a request must not pay for them.
  tokenizer.count('warm up');
  loaded.set(name, tokenizer);
  return tokenizer;
}

// Synchronous on purpose (`import()` would make every caller asynchronous for a start-up cost).
function loadEncoding(name: TokenizerName): typeof Encoding {
  return name === 'o200k_base'
    ? (require('gpt-tokenizer/encoding/o200k_base') as typeof Encoding)
    : (require('gpt-tokenizer/encoding/cl100k_base') as typeof Encoding);
}

/** A counter whose time grows with the text's length only, and stops growing at 64 Ki characters. */
export function boundedTokenizer(count: (text: string) => number): Tokenizer {
  return {
    count(text) {
      if (text.length <= WINDOW_CHARS) return count(text);
      const stride = Math.ceil(text.length / EXACT_CHARS);
      let tokens = 0;
      let countedChars = 0;
      let window = 0;
      for (let from = 0; from < text.length; window += 1) {
        const to = windowEnd(text, from);
        if (window % stride === 0) {
          tokens += count(text.slice(from, to));
          countedChars += to - from;
        }
        from = to;
      }
      return Math.ceil(tokens * (text.length / countedChars));
    },
  };
}

function windowEnd(text: string, from: number): number {
  const limit = from + WINDOW_CHARS;
  if (limit >= text.length) return text.length;
  for (let at = limit; at > limit - BOUNDARY_SEARCH_CHARS; at -= 1) {
    // Both encodings start a new piece at a space between two letters.
    if (text.charCodeAt(at) === 0x20 && isLetter(text, at - 1) && isLetter(text, at + 1)) return at;
  }
  const splitsPair = (text.charCodeAt(limit) & 0xfc00) === 0xdc00;
  return splitsPair ? limit - 1 : limit;
}

function isLetter(text: string, at: number): boolean {
  const code = text.charCodeAt(at) | 0x20;
  return code >= 0x61 && code <= 0x7a;
}
