import { describe, expect, it } from 'vitest';
import { scramVerifier } from './scram.ts';

describe('a password verifier', () => {
  it('has the form that PostgreSQL stores and depends on password and salt alone', () => {
    const salt = Buffer.from('MDEyMzQ1Njc4OWFiY2RlZg==', 'base64');
    const verifier = scramVerifier('pencil', salt);
    expect(verifier).toMatch(
      /^SCRAM-SHA-256\$4096:MDEyMzQ1Njc4OWFiY2RlZg==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/,
    );
    expect(verifier).not.toContain('pencil');
    expect(scramVerifier('pencil', salt)).toBe(verifier);
    expect(scramVerifier('Pencil', salt)).not.toBe(verifier);
  });

  it('has a salt of its own each time', () => {
    expect(scramVerifier('pencil')).not.toBe(scramVerifier('pencil'));
  });

  it.each(['', 'naïve', 'tab\t', 'nul\0'])('refuses the password %j', (password) => {
    expect(() => scramVerifier(password)).toThrow(RangeError);
  });
});
