import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isKid, kidCreatedAtSeconds, kidFitsThumbprint, makeKid } from './kid.domain.ts';

const time = fc.date({
  min: new Date('2000-01-01T00:00:00Z'),
  max: new Date('2999-12-31T23:59:59Z'),
  noInvalidDate: true,
});
const thumbprint = fc
  .array(fc.constantFrom(...Array.from('0123456789abcdef')), { minLength: 64, maxLength: 64 })
  .map((digits) => digits.join(''));

describe('the id of a signing key', () => {
  it('is valid, tells its second of creation and fits its own thumbprint only', () => {
    fc.assert(
      fc.property(time, thumbprint, thumbprint, (createdAt, own, other) => {
        const kid = makeKid(createdAt, own);
        expect(isKid(kid)).toBe(true);
        expect(kidCreatedAtSeconds(kid)).toBe(Math.floor(createdAt.getTime() / 1000));
        expect(kidFitsThumbprint(kid, own)).toBe(true);
        expect(kidFitsThumbprint(kid, other)).toBe(other.slice(0, 16) === own.slice(0, 16));
      }),
    );
  });

  it('sorts in the order of creation', () => {
    fc.assert(
      fc.property(time, time, thumbprint, (a, b, hex) => {
        const seconds = (at: Date): number => Math.floor(at.getTime() / 1000);
        if (seconds(a) < seconds(b)) expect(makeKid(a, hex) < makeKid(b, hex)).toBe(true);
      }),
    );
  });

  it.each(['../active', 'a/b', '', 'a.b', 'a b', 'x'.repeat(65), '20261122'.padEnd(70, 'a')])(
    'is not %j',
    (text) => {
      expect(isKid(text)).toBe(false);
    },
  );

  it('claims nothing when somebody else made it', () => {
    expect(kidCreatedAtSeconds('test-1')).toBeUndefined();
    expect(kidFitsThumbprint('test-1', 'ff'.repeat(32))).toBe(true);
    expect(kidCreatedAtSeconds('20261399T999999Z-0123456789abcdef')).toBeUndefined();
  });
});
