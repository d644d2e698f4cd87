import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PepperError, parsePeppers } from './pepper.domain.ts';

const pepper = (bytes = 32): string => randomBytes(bytes).toString('base64');

describe('API_KEY_PEPPER', () => {
  it('may hold one pepper', () => {
    const text = pepper();
    const peppers = parsePeppers(`1:${text}`);
    expect(peppers.currentVersion).toBe(1);
    expect(Buffer.from(peppers.byVersion.get(1)!).toString('base64')).toBe(text);
  });

  it('may hold several, of which the highest version is current wherever it stands', () => {
    const peppers = parsePeppers(` 7:${pepper()} , 2:${pepper(64)},1:${pepper()}`);
    expect(peppers.currentVersion).toBe(7);
    expect([...peppers.byVersion.keys()].sort()).toEqual([1, 2, 7]);
  });

  it.each([
    ['', 'is missing'],
    ['  ', 'is missing'],
    [pepper(), 'expected version:base64'],
    [`:${pepper()}`, 'expected version:base64'],
    [`0:${pepper()}`, 'version before the colon'],
    [`-1:${pepper()}`, 'version before the colon'],
    [`01:${pepper()}`, 'version before the colon'],
    [`32768:${pepper()}`, 'version before the colon'],
    [`one:${pepper()}`, 'version before the colon'],
    [`1:${pepper(31)}`, 'has 31 bytes'],
    ['1:', 'has 0 bytes'],
    [`1:${pepper(1025)}`, 'has 1025 bytes'],
    [`1:${pepper()}!`, 'not standard base64'],
    [`1:${randomBytes(32).toString('hex')}z`, 'not standard base64'],
    [`1:${Buffer.alloc(32).toString('base64')}`, 'not random'],
    [`1:${Buffer.from('changeme'.repeat(4)).toString('base64')}`, 'not random'],
    [`1:${pepper()},1:${pepper()}`, 'version 1 twice'],
    [`1:${pepper()},`, 'entry 2'],
    [`1:${pepper()};2:${pepper()}`, 'not standard base64'],
  ])('is refused (case %#)', (text, expected) => {
    expect(() => parsePeppers(text)).toThrow(PepperError);
    expect(() => parsePeppers(text)).toThrow(expected);
  });

  it('is never quoted by what refuses it', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 6 }), (secret) => {
        try {
          parsePeppers(`1:${secret}`);
        } catch (error) {
          const known = 'API_KEY_PEPPER entry 1: the pepper has bytes; expected 32 to 1024';
          if (!known.includes(secret)) expect((error as Error).message).not.toContain(secret);
        }
      }),
    );
  });
});
