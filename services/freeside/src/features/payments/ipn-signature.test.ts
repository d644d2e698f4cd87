import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IpnVerifier } from './ipn-signature.ts';
import { canonicalText, parseJsonText } from './json-text.domain.ts';

const SECRET = 'pzg0Nt9sBfAlNgBnsxKVs9jYr5wYgrGp';
const verifier = new IpnVerifier(SECRET);
const sign = (text: string, secret = SECRET): string =>
  createHmac('sha512', secret).update(text).digest('hex');
const verify = (text: string, signature: string): boolean =>
  verifier.verify(Buffer.from(text), parseJsonText(text), signature);

/** The vendor's helper, for objects without arrays: sort at every depth, then stringify. */
function vendorSort(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((name) => {
        const one = value[name];
        const isNested = typeof one === 'object' && one !== null;
        return [name, isNested ? vendorSort(one as Record<string, unknown>) : one];
      }),
  );
}

const NOTICE = {
  payment_id: 5077125051,
  payment_status: 'finished',
  pay_amount: 1e-7,
  price_amount: 10.5,
  order_description: 'Prémium 🪙 "pack" / 1',
  fee: { currency: 'trx', depositFee: 0.09853637216235617, withdrawalFee: 0 },
};

describe('a signature', () => {
  it('is good over the bytes as they came, and over the sorted object', () => {
    const text = JSON.stringify(NOTICE, null, 2);
    expect(verify(text, sign(text))).toBe(true);
    expect(verify(text, sign(text).toUpperCase())).toBe(true);
    expect(verify(text, sign(JSON.stringify(vendorSort(NOTICE))))).toBe(true);
  });

  it('covers what is nested, which the filter of sorted names would drop', () => {
    const dropping = JSON.stringify(NOTICE, Object.keys(NOTICE).sort());
    expect(dropping).toContain('"fee":{}');
    expect(verify(JSON.stringify(NOTICE), sign(dropping))).toBe(false);
  });

  it('is void once a byte of the body, the secret or the signature is another', () => {
    const text = JSON.stringify(NOTICE);
    const good = sign(text);
    const changes = fc.tuple(fc.nat(text.length - 1), fc.constantFrom('1', 'x'));
    fc.assert(
      fc.property(changes, ([at, character]) => {
        const forged = text.slice(0, at) + character + text.slice(at + 1);
        if (forged === text) return;
        let body;
        try {
          body = parseJsonText(forged);
        } catch {
          return;
        }
        expect(verifier.verify(Buffer.from(forged), body, good)).toBe(false);
      }),
    );
    expect(verify(text, sign(text, `${SECRET}x`))).toBe(false);
    fc.assert(
      fc.property(fc.nat(127), fc.integer({ min: 1, max: 15 }), (at, by) => {
        const digit = (Number.parseInt(good[at] ?? '0', 16) ^ by).toString(16);
        expect(verify(text, good.slice(0, at) + digit + good.slice(at + 1))).toBe(false);
      }),
    );
  });

  it('of another length or alphabet is refused and never thrown on', () => {
    const text = JSON.stringify(NOTICE);
    const good = sign(text);
    for (const bad of [
      '',
      good.slice(1),
      good.slice(0, 64),
      `${good}0`,
      `${good}${good}`,
      `0x${good.slice(2)}`,
      `${good.slice(0, -1)}g`,
      `${good} `,
      `${good}\n`,
      Buffer.from(good, 'hex').toString('base64'),
      'é'.repeat(128),
    ]) {
      expect(verify(text, bad), JSON.stringify(bad)).toBe(false);
    }
  });

  it('tells numbers apart by their text', () => {
    const text = '{"price_amount":10.50}';
    expect(verify('{"price_amount":10.5}', sign(text))).toBe(false);
    expect(canonicalText(parseJsonText(text))).toBe(text);
  });
});
