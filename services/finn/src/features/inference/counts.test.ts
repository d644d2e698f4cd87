import { PROMPT_OVERHEAD } from '@arrakis/contracts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { beginningWithin, countPrompt, usageOfCompleted, usageOfPart } from './counts.domain.ts';

/** A token is a character: easy to see through. */
const byCharacter = (text: string): number => Array.from(text).length;

describe('the count of a completed answer', () => {
  const answer = {
    countedPromptTokens: 11,
    promptBound: 1000,
    text: 'four',
    maxTokens: 100,
    count: byCharacter,
  };

  test('is the provider’s where it gave one', () => {
    const reported = { promptTokens: 20, completionTokens: 3 };
    expect(usageOfCompleted({ ...answer, reported })).toEqual({
      prompt_tokens: 20,
      completion_tokens: 3,
      total_tokens: 23,
    });
  });

  test('is ours where it gave none', () => {
    expect(usageOfCompleted({ ...answer, reported: undefined })).toMatchObject({
      prompt_tokens: 11,
      completion_tokens: 4,
    });
  });

  test('lies between what was proven and what was held for, whatever the provider claims', () => {
    fc.assert(
      fc.property(
        fc.option(fc.record({ promptTokens: fc.double(), completionTokens: fc.double() }), {
          nil: undefined,
        }),
        fc.string({ unit: 'grapheme' }),
        fc.integer({ min: 1, max: 50 }),
        (reported, text, maxTokens) => {
          const usage = usageOfCompleted({ ...answer, reported, text, maxTokens });
          expect(usage.completion_tokens).toBeGreaterThanOrEqual(text === '' ? 0 : 1);
          expect(usage.completion_tokens).toBeLessThanOrEqual(maxTokens);
          expect(Number.isSafeInteger(usage.prompt_tokens)).toBe(true);
          expect(usage.prompt_tokens).toBeLessThanOrEqual(answer.promptBound);
          expect(usage.total_tokens).toBe(usage.prompt_tokens + usage.completion_tokens);
        },
      ),
    );
  });
});

describe('the count of a part', () => {
  const part = { exactTokens: undefined, promptTokens: 50, maxTokens: 100, count: byCharacter };

  test('is nothing at all where nothing was delivered', () => {
    expect(usageOfPart({ ...part, text: '' }).total_tokens).toBe(0);
  });

  test('is the prompt and the delivered text', () => {
    expect(usageOfPart({ ...part, text: 'four' })).toMatchObject({
      prompt_tokens: 50,
      completion_tokens: 4,
    });
  });

  test('is the provider’s own where it counted what it sent', () => {
    expect(usageOfPart({ ...part, text: 'four', exactTokens: 2 }).completion_tokens).toBe(2);
  });

  test('grows with what was delivered', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (head, tail) => {
        const count = (text: string) =>
          usageOfPart({ ...part, text, maxTokens: 1_000_000 }).completion_tokens;
        expect(count(head + tail)).toBeGreaterThanOrEqual(count(head));
      }),
    );
  });
});

test('the prompt’s count stays within the overhead that freeside holds for', () => {
  const message = { role: 'user' as const, content: '' };
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 257 }), (messages) => {
      const counted = countPrompt(
        Array.from({ length: messages }, () => message),
        byCharacter,
      );
      expect(counted).toBeLessThanOrEqual(
        PROMPT_OVERHEAD.tokensPerRequest + PROMPT_OVERHEAD.tokensPerMessage * messages,
      );
    }),
  );
});

describe('the beginning of a text that is too long', () => {
  test('is the longest that fits, and never half a character', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.integer({ min: 0, max: 20 }),
        (text, room) => {
          const part = beginningWithin(text, room, byCharacter);
          expect(text.startsWith(part)).toBe(true);
          expect(part.isWellFormed()).toBe(text.isWellFormed() || part.isWellFormed());
          expect(byCharacter(part)).toBe(Math.min(room, byCharacter(text)));
        },
      ),
    );
  });

  test('does not split a surrogate pair', () => {
    expect(beginningWithin('\u{1f600}\u{1f601}', 1, byCharacter)).toBe('\u{1f600}');
  });
});
