import { describe, expect, it } from 'vitest';
import { ForgeryLimit, type PostHead } from './forgery-limit.domain.ts';

const head = (change: Partial<PostHead> = {}): PostHead => ({
  remoteAddress: '192.0.2.1',
  isSigned: true,
  bodyBytes: 800,
  ...change,
});

/** Of an address that has forged so many, all in one moment. */
function limitAfter(forgeries: number, remoteAddress = '192.0.2.1'): ForgeryLimit {
  const limit = new ForgeryLimit();
  for (let n = 0; n < forgeries; n += 1) limit.recordForgery(remoteAddress, 0);
  return limit;
}

describe('an address that forged a hundred posts', () => {
  it.each<[string, Partial<PostHead>]>([
    ['without a signature', { isSigned: false }],
    ['of a size that no notice has', { bodyBytes: 2_049 }],
    ['of a size that it does not tell', { bodyBytes: Number.NaN }],
  ])('is refused a post %s unread', (_, change) => {
    expect(limitAfter(99).retryAfterSeconds(head(change), 0)).toBe(0);
    expect(limitAfter(100).retryAfterSeconds(head(change), 0)).toBeGreaterThan(0);
  });

  it('may send what could be genuine, as long as checking that is cheap for us', () => {
    expect(limitAfter(100).retryAfterSeconds(head(), 0)).toBe(0);
    expect(limitAfter(100 + 2_499).retryAfterSeconds(head(), 0)).toBe(0);
    const spent = limitAfter(100 + 2_500);
    expect(spent.retryAfterSeconds(head(), 0)).toBeGreaterThan(0);
    expect(spent.retryAfterSeconds(head(), 100)).toBe(0);
  });

  it('takes nothing from other addresses', () => {
    const other = { remoteAddress: '192.0.2.2', isSigned: false };
    expect(limitAfter(100_000).retryAfterSeconds(head(other), 0)).toBe(0);
  });

  it('is let in again in time', () => {
    const unsigned = head({ isSigned: false });
    const seconds = limitAfter(150).retryAfterSeconds(unsigned, 0);
    expect(limitAfter(150).retryAfterSeconds(unsigned, seconds * 1000)).toBe(0);
  });
});
