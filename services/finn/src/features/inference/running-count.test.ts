import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RunningCount } from './running-count.domain.ts';

/** A token is up to four characters: easy to see through. */
const byFours = (text: string): number => Math.ceil(text.length / 4);

function counted(maxTokens: number): { count: RunningCount; calls: () => number } {
  let calls = 0;
  const count = new RunningCount({
    maxTokens,
    count: (text) => {
      calls += 1;
      return byFours(text);
    },
  });
  return { count, calls: () => calls };
}

describe('text from a provider that counts', () => {
  test('is cut exactly where its tokens are used up', () => {
    const { count, calls } = counted(5);
    expect(count.take('a word', 3)).toBe('a word');
    expect(count.take('b', 1)).toBe('b');
    expect(calls()).toBe(0);
    expect(count.take('two tokens', 2)).toBe('two ');
    expect(count.take('more', 1)).toBe('');
    expect(count).toMatchObject({ tokens: 5, isExact: true, text: 'a wordbtwo ' });
  });
});

describe('text from a vendor', () => {
  test('costs no count while its deltas look like tokens', () => {
    const { count, calls } = counted(1000);
    for (let delta = 1; delta <= 1000; delta += 1) {
      expect(count.take('word', undefined)).toBe('word');
      expect(count.tokens).toBe(delta);
    }
    expect(calls()).toBe(0);
    expect(count.isExact).toBe(false);
  });

  test('is never cut as long as its tokens are within the limit, however it is sliced', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1, maxLength: 12 })), (deltas) => {
        const { count } = counted(Math.max(1, byFours(deltas.join(''))));
        for (const delta of deltas) expect(count.take(delta, undefined)).toBe(delta);
      }),
    );
  });

  test('gets a running count that never falls nor exceeds what its text is worth', () => {
    const slices = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(slices, fc.boolean(), (lengths, bySingleCharacters) => {
        const { count } = counted(500);
        let before = 0;
        for (const length of lengths) {
          const delta = 'x'.repeat(bySingleCharacters ? 1 : 4 * length);
          if (count.take(delta, undefined) === '') return;
          expect(count.tokens).toBeGreaterThanOrEqual(before);
          expect(count.tokens).toBeLessThanOrEqual(Math.min(byFours(count.text), 500));
          before = count.tokens;
        }
        expect(before).toBeGreaterThan(0);
      }),
    );
  });

  test('that goes on for ever ends soon after its tokens are used up, with few counts', () => {
    for (const delta of ['x', 'xx', 'word', 'several words at once ']) {
      const { count, calls } = counted(2000);
      for (let taken = delta; taken === delta;) taken = count.take(delta, undefined);
      expect(byFours(count.text)).toBeGreaterThanOrEqual(2000);
      expect(count.text.length).toBeLessThanOrEqual(2000 * 8 + delta.length + 16);
      expect(calls()).toBeLessThan(200);
      expect(count.tokens).toBeLessThanOrEqual(2000);
    }
  });

  test('that is one endless piece is bounded before it is counted', () => {
    const { count } = counted(10);
    expect(count.take('x'.repeat(1_000_000), undefined)).toBe('x'.repeat(40));
  });
});
