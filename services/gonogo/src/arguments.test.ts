import { loadEnv } from '@arrakis/service-kit';
import { describe, expect, it } from 'vitest';
import { parseArguments } from './arguments.domain.ts';
import { toConfig } from './config/config.ts';
import { GonogoEnv } from './config/env.ts';
import { GATE_NAMES } from './gate.domain.ts';

describe('the command line', () => {
  it('leaves the choice to the environment when no gate is named, and orders those named', () => {
    expect(parseArguments([])).toEqual({ kind: 'run' });
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

describe('the gates of the environment', () => {
  const gatesOf = (env: Record<string, string>) => toConfig(loadEnv(GonogoEnv, env)).gates;

  it('are all, or those of GONOGO_GATES in their own order', () => {
    expect(gatesOf({})).toEqual(GATE_NAMES);
    expect(gatesOf({ GONOGO_GATES: 'billing,health' })).toEqual(['health', 'billing']);
  });

  it('are refused where one is none, by the name of the variable', () => {
    expect(() => gatesOf({ GONOGO_GATES: 'healht' })).toThrow('GONOGO_GATES');
    expect(() => gatesOf({ GONOGO_GATES: 'health, auth' })).toThrow('GONOGO_GATES');
  });
});
