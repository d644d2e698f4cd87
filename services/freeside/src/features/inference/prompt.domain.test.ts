import { LIMITS } from '@arrakis/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundPromptTokens, checkPrompt, overheadTokens } from './prompt.domain.ts';
import { COUNTABLE_PROMPT_BYTES, TokenCounter, cutIntoPieces } from './token-count.ts';

describe('the bound of a prompt', () => {
  it('counts UTF-8 bytes, not characters', () => {
    expect(boundPromptTokens({ prompt: 'a漢😀' })).toBe(8 + overheadTokens(1));
  });

  it('grows with each message', () => {
    const message = { role: 'user' as const, content: '' };
    const one = boundPromptTokens({ messages: [message] });
    expect(boundPromptTokens({ messages: [message, message] })).toBe(one + 16);
  });

  it('is never below the tokens of a real vocabulary', async () => {
    const { countTokens } = await import('gpt-tokenizer/encoding/cl100k_base');
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (prompt) => {
        expect(boundPromptTokens({ prompt })).toBeGreaterThanOrEqual(countTokens(prompt));
      }),
    );
  });
});

describe('the check of a prompt', () => {
  it.each([' ', '\n\t', '\u00a0\u2003', '\ufeff'])('refuses %j', (prompt) => {
    expect(checkPrompt({ prompt })).toMatchObject({
      code: 'invalid_request',
      errors: [{ field: '/prompt' }],
    });
  });

  it('names the blank message', () => {
    const messages = ['Hi', ' '].map((content) => ({ role: 'user' as const, content }));
    expect(checkPrompt({ messages })?.errors?.[0]?.field).toBe('/messages/1/content');
  });

  it('adds the messages up', () => {
    const content = 'é'.repeat(LIMITS.promptBytes / 4);
    const message = { role: 'user' as const, content };
    expect(checkPrompt({ messages: [message, message] })).toBeUndefined();
    expect(checkPrompt({ messages: [message, message, message] })?.code).toBe('body_too_large');
  });
});

describe('the exact count', () => {
  const counter = new TokenCounter();

  it('is closer than the bound and still above the tokens', async () => {
    const { countTokens } = await import('gpt-tokenizer/encoding/o200k_base');
    const prompt = 'The quick brown fox jumps over the lazy dog. '.repeat(100);
    const count = await counter.count({ prompt });
    expect(count).toBeGreaterThan(countTokens(prompt));
    expect(count).toBeLessThan(boundPromptTokens({ prompt }));
  });

  it('takes control tokens for text', async () => {
    const count = await counter.count({ prompt: '<|endoftext|>' });
    expect(count).toBeGreaterThan(overheadTokens(1) + 1);
  });

  it.each([' ', 'a', '漢', '\n'])('of a long run of %j takes no seconds', async (character) => {
    const length = Math.floor(COUNTABLE_PROMPT_BYTES / Buffer.byteLength(character));
    const startedAt = performance.now();
    await counter.count({ prompt: character.repeat(length) });
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it('is not made of a prompt that is too long for it', async () => {
    const prompt = 'a'.repeat(COUNTABLE_PROMPT_BYTES + 1);
    expect(await counter.count({ prompt })).toBeUndefined();
  });

  it('is not made while two others are', async () => {
    const prompt = 'word '.repeat(1_000);
    const counts = await Promise.all([1, 2, 3].map(() => counter.count({ prompt })));
    expect(counts.map((count) => count !== undefined)).toEqual([true, true, false]);
  });
});

describe('the pieces of a text', () => {
  it('make up the text, cut within no character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 200, maxLength: 2_000 }), (text) => {
        const pieces = cutIntoPieces(text);
        expect(pieces.join('')).toBe(text);
        expect(pieces.every((piece) => piece.isWellFormed())).toBe(text.isWellFormed());
        expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(256);
      }),
    );
  });
});
