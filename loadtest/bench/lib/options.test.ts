import { expect, it } from 'vitest';
import { kindOf, readOptions } from './options.ts';

it('only a run of everything, long enough, may stand for the product', () => {
  const kind = (...args: readonly string[]): string => kindOf(readOptions(args));
  expect(kind()).toBe('full');
  expect(kind('--rounds', '5', '--memory', '20m')).toBe('full');
  expect(kind('--quick')).toBe('quick');
  for (const args of [
    ['--rounds', '2'],
    ['--memory', '90s'],
    ['--lanes', 'unary,open'],
    ['--contestants', 'direct,ours'],
    ['--cpu-prof', 'x'],
    ['--variant', 'x'],
  ]) {
    expect(kind(...args)).toBe('partial');
  }
});

it('what cannot be meant is refused', () => {
  for (const args of [
    ['--rounds', '0'],
    ['--rounds', 'many'],
    ['--memory', '10'],
    ['--lanes', 'unary,nothing'],
    ['--unknown'],
  ]) {
    expect(() => readOptions(args)).toThrow();
  }
});
