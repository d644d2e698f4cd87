import { describe, expect, it } from 'vitest';
import { parseArguments } from './arguments.domain.ts';
import { GATE_NAMES } from './gate.domain.ts';

describe('the command line', () => {
  it('runs all gates when none is named, and those named in their own order', () => {
    expect(parseArguments([])).toEqual({ kind: 'run', gates: GATE_NAMES });
    expect(parseArguments(['--gates', 'billing,health', '--report', '-'])).toEqual({
      kind: 'run',
      gates: ['health', 'billing'],
      report: '-',
    });
  });

  it('lists, and verifies with or without a signer', () => {
    expect(parseArguments(['--list'])).toEqual({ kind: 'list' });
    expect(parseArguments(['verify', 'x.json'])).toEqual({ kind: 'verify', file: 'x.json' });
    expect(parseArguments(['verify', '-', '--signer', 'ab'])).toEqual({
      kind: 'verify',
      file: '-',
      signer: 'ab',
    });
  });

  it.each([
    [['--gates', 'healht']],
    [['--gates']],
    [['--gates', '']],
    [['--gates', 'health', '--gates', 'auth']],
    [['--list', 'x']],
    [['verify']],
    [['verify', '--signer', 'x']],
    [['run']],
  ])('refuses %j', (args) => {
    expect(parseArguments(args).kind).toBe('refused');
  });
});
