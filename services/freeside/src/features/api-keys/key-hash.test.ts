import { createHmac, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { KeyHasher } from './key-hash.ts';
import { parsePeppers, type Peppers } from './pepper.domain.ts';

const SECRET = 'aZ09'.repeat(8);
const one = randomBytes(32).toString('base64');
const two = randomBytes(32).toString('base64');
const peppers = (text: string): Peppers => parsePeppers(text);

describe('hashing a secret', () => {
  it('is HMAC-SHA256 over salt and secret under the newest pepper', () => {
    const hash = new KeyHasher(peppers(`1:${one},2:${two}`)).hash(SECRET);
    const expected = createHmac('sha256', Buffer.from(two, 'base64'))
      .update(Buffer.concat([hash.keySalt, Buffer.from(SECRET)]))
      .digest();
    expect(hash.pepperVersion).toBe(2);
    expect(hash.keySalt).toHaveLength(16);
    expect(Buffer.from(hash.keyHash).equals(expected)).toBe(true);
  });

  it('salts each key on its own', () => {
    const hasher = new KeyHasher(peppers(`1:${one}`));
    expect(hasher.hash(SECRET).keyHash).not.toEqual(hasher.hash(SECRET).keyHash);
  });
});

describe('verifying a secret', () => {
  const hasher = new KeyHasher(peppers(`1:${one}`));
  const stored = hasher.hash(SECRET);

  it('accepts the secret and nothing else', () => {
    expect(hasher.verify(stored, SECRET)).toBe('match');
    expect(hasher.verify(stored, SECRET.replace('a', 'b'))).toBe('mismatch');
    expect(hasher.verify(stored, '')).toBe('mismatch');
  });

  it('goes on with an older pepper as long as it is configured', () => {
    expect(new KeyHasher(peppers(`1:${one},2:${two}`)).verify(stored, SECRET)).toBe('match');
  });

  it('fails closed when the pepper was retired', () => {
    expect(new KeyHasher(peppers(`2:${two}`)).verify(stored, SECRET)).toBe('pepper_missing');
  });

  it('fails when the pepper of that version is another one', () => {
    expect(new KeyHasher(peppers(`1:${two}`)).verify(stored, SECRET)).toBe('mismatch');
  });

  it('never accepts anything for a key that does not exist', () => {
    expect(hasher.verify(undefined, SECRET)).toBe('mismatch');
  });

  it('refuses a stored hash of a wrong length instead of throwing', () => {
    const short = { ...stored, keyHash: stored.keyHash.subarray(0, 16) };
    expect(hasher.verify(short, SECRET)).toBe('mismatch');
  });
});
