import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MAX_MICRO,
  completionTokensWithin,
  formatMicro,
  parseMicro,
  priceTokens,
} from './index.ts';

const price = fc.record({
  promptPriceMicro: fc.bigInt({ min: 0n, max: 100_000_000n }),
  completionPriceMicro: fc.bigInt({ min: 1n, max: 100_000_000n }),
});
const count = fc.integer({ min: 0, max: 2_000_000 });

describe('micro-credits', () => {
  it('survive the way through JSON', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -MAX_MICRO - 1n, max: MAX_MICRO }), (amount) => {
        expect(parseMicro(formatMicro(amount))).toBe(amount);
      }),
    );
  });

  it.each(['', '-0', '01', '1.0', '1e3', ' 1', '0x1', '9223372036854775808', '١'])(
    'refuse %j',
    (text) => {
      expect(parseMicro(text)).toBeUndefined();
    },
  );
});

describe('a price', () => {
  const cheap = { promptPriceMicro: 150_000n, completionPriceMicro: 600_000n };

  it('is rounded up once, over prompt and completion together', () => {
    expect(priceTokens(cheap, { promptTokens: 3, completionTokens: 1 })).toBe(2n); // 1.05
    expect(priceTokens(cheap, { promptTokens: 1_000_000, completionTokens: 0 })).toBe(150_000n);
  });

  it('is at least one micro-credit', () => {
    expect(priceTokens(cheap, { promptTokens: 0, completionTokens: 0 })).toBe(1n);
  });

  it('never exceeds the exact price by a whole micro-credit', () => {
    fc.assert(
      fc.property(price, count, count, (p, promptTokens, completionTokens) => {
        const exact =
          p.promptPriceMicro * BigInt(promptTokens) +
          p.completionPriceMicro * BigInt(completionTokens);
        const charged = priceTokens(p, { promptTokens, completionTokens }) * 1_000_000n;
        expect(charged >= exact).toBe(true);
        expect(charged === 1_000_000n || charged - exact < 1_000_000n).toBe(true);
      }),
    );
  });

  it('grows with the tokens', () => {
    fc.assert(
      fc.property(price, count, count, count, (p, a, b, more) => {
        const less = priceTokens(p, { promptTokens: a, completionTokens: b });
        expect(priceTokens(p, { promptTokens: a, completionTokens: b + more }) >= less).toBe(true);
        expect(priceTokens(p, { promptTokens: a + more, completionTokens: b }) >= less).toBe(true);
      }),
    );
  });

  it('tells the largest completion that fits a budget', () => {
    fc.assert(
      fc.property(
        price,
        count,
        fc.bigInt({ min: 0n, max: 10n ** 12n }),
        (p, promptTokens, budget) => {
          const fits = completionTokensWithin(p, promptTokens, budget);
          if (fits > 0) {
            expect(priceTokens(p, { promptTokens, completionTokens: fits }) <= budget).toBe(true);
          }
          if (fits < Number.MAX_SAFE_INTEGER) {
            const oneMore = priceTokens(p, { promptTokens, completionTokens: fits + 1 });
            expect(oneMore > budget).toBe(true);
          }
        },
      ),
    );
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 53])('refuses %d tokens', (promptTokens) => {
    expect(() => priceTokens(cheap, { promptTokens, completionTokens: 0 })).toThrow(RangeError);
  });
});
