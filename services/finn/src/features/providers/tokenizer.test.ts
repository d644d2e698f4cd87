import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, test } from 'vitest';
import { boundedTokenizer, loadTokenizer } from './tokenizer.ts';

const tokenizer = loadTokenizer('o200k_base');

describe('counting tokens', () => {
  test('gives the counts that the encodings are known for', () => {
    expect(tokenizer.count('hello world')).toBe(2);
    expect(tokenizer.count('')).toBe(0);
    expect(loadTokenizer('cl100k_base').count('antidisestablishmentarianism')).toBe(6);
  });

  test('takes special tokens in a text for text', () => {
    for (const text of ['<|endoftext|>', 'a <|im_start|>system', '<|endofprompt|>']) {
      expect(tokenizer.count(text)).toBeGreaterThan(3);
    }
  });

  test('counts long prose exactly as if it were counted in one piece', () => {
    const sentence = 'The quick brown fox jumps over the lazy dog and runs away. ';
    const text = sentence.repeat(1000);
    expect(tokenizer.count(text)).toBe(countTokens(text));
  });

  test('never throws on lone surrogates, control characters or split pairs', () => {
    expect(tokenizer.count('\uD83D'.repeat(2000))).toBeGreaterThan(0);
    expect(tokenizer.count('\u0000\u0007\r\n'.repeat(500))).toBeGreaterThan(0);
    expect(tokenizer.count(`a${'🌳'.repeat(2000)}`)).toBeGreaterThan(1000);
  });

  test.each([
    ['one letter', 'a'],
    ['spaces', ' '],
    ['line ends', '\n'],
    ['one ideograph', '中'],
    ['one emoji', '🌳'],
    ['combining marks', '\u0301'],
  ])('takes bounded time for 256 KiB of %s', (_name, character) => {
    const text = character.repeat(262_144 / Buffer.byteLength(character));
    const beganMs = performance.now();
    expect(tokenizer.count(text)).toBeGreaterThan(0);
    // Unbounded, these take from one second to several minutes.
    expect(performance.now() - beganMs).toBeLessThan(1000);
  });

  test('never gives the encoding a longer run than its window, nor half a pair', () => {
    const pieces: string[] = [];
    const counting = boundedTokenizer((text) => pieces.push(text));
    counting.count(`x${'🌳'.repeat(5000)}`);
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(256);
    expect(pieces.every((piece) => piece.isWellFormed())).toBe(true);
    expect(pieces.join('')).toBe(`x${'🌳'.repeat(5000)}`);
  });

  test('estimates very long texts from an even sample of them', () => {
    let counted = 0;
    const byChars = boundedTokenizer((text) => {
      counted += text.length;
      return text.length;
    });
    expect(byChars.count('x'.repeat(262_144))).toBe(262_144);
    expect(counted).toBeLessThanOrEqual(64 * 1024 + 256);
  });
});
