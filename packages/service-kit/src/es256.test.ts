import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { signEs256, verifyEs256 } from './es256.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jose = { dsaEncoding: 'ieee-p1363' } as const;
/** Enough for integers of 31 bytes, and of 32 with and without the highest bit. */
const ROUNDS = 2_000;

const messages = Array.from({ length: ROUNDS }, (_, n) => Buffer.from(`message ${String(n)}`));

describe('ES256', () => {
  test("what it signs, Node's own JOSE form verifies", () => {
    for (const message of messages) {
      const signature = signEs256(message, privateKey);
      expect(signature).toHaveLength(64);
      expect(verify('sha256', message, { key: publicKey, ...jose }, signature)).toBe(true);
    }
  });

  test("it verifies what Node's own JOSE form signs, short integers among them", () => {
    const signatures = messages.map((message) =>
      sign('sha256', message, { key: privateKey, ...jose }),
    );
    expect(signatures.some((signature) => signature[0] === 0)).toBe(true);
    expect(signatures.some((signature) => signature[32] === 0)).toBe(true);
    messages.forEach((message, index) => {
      expect(verifyEs256(message, publicKey, signatures[index] ?? Buffer.alloc(0))).toBe(true);
    });
  });

  test('one bit elsewhere, another message, another key: false', () => {
    const [message = Buffer.alloc(0), other = Buffer.alloc(0)] = messages;
    const signature = signEs256(message, privateKey);
    for (let bit = 0; bit < signature.length * 8; bit += 1) {
      const bent = Buffer.from(signature);
      bent[bit >> 3] = (bent[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(verifyEs256(message, publicKey, bent), `bit ${String(bit)}`).toBe(false);
    }
    expect(verifyEs256(other, publicKey, signature)).toBe(false);
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
    expect(verifyEs256(message, stranger, signature)).toBe(false);
  });

  const order = Buffer.from(
    'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
    'hex',
  );
  const zero = Buffer.alloc(32);
  const good = signEs256(Buffer.from('x'), privateKey);
  test.each([
    ['nothing', Buffer.alloc(0)],
    ['r and s zero (CVE-2022-21449)', Buffer.alloc(64)],
    ['r zero', Buffer.concat([zero, good.subarray(32)])],
    ['s zero', Buffer.concat([good.subarray(0, 32), zero])],
    ['r and s the order of the curve', Buffer.concat([order, order])],
    ['r and s as large as they can be', Buffer.alloc(64, 0xff)],
    ['DER', sign('sha256', Buffer.from('x'), privateKey)],
    ['a byte short', good.subarray(1)],
    ['a byte more', Buffer.concat([good, zero.subarray(0, 1)])],
  ])('%s is no signature', (_name, signature) => {
    expect(verifyEs256(Buffer.from('x'), publicKey, signature)).toBe(false);
  });
});
