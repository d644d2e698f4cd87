import { describe, expect, it } from 'vitest';
import { explain, PlainError } from './plain-error.ts';

function systemError(code: string, message = `${code}: it did not work`): Error {
  return Object.assign(new Error(message), { code });
}

describe('an explanation', () => {
  it('leaves what is plain already as it is', () => {
    const error = new PlainError('what happened', ['what to do']);
    expect(explain(error)).toBe(error);
  });

  it.each([
    ['ENOSPC', /disk is full/],
    ['EACCES', /another user/],
    ['EROFS', /read-only/],
  ])('says in words what %s means, and what to do', (code, words) => {
    const plain = explain(systemError(code));
    expect(plain.message).toMatch(words);
    expect(plain.advice.length).toBeGreaterThan(0);
  });

  it('finds the reason under other errors', () => {
    const error = new Error('initdb failed', { cause: systemError('ENOSPC') });
    expect(explain(error).message).toMatch(/disk is full/);
  });

  it("finds a full disk in a program's own words", () => {
    expect(explain(new Error('tar: No space left on device')).message).toMatch(/disk is full/);
  });

  it('keeps the words of a command that cannot be started', () => {
    expect(explain(systemError('EACCES', 'spawn tool EACCES')).message).toBe('spawn tool EACCES');
  });
});
