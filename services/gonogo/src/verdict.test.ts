import { describe, expect, it } from 'vitest';
import { conclude, type Outcome } from './gate.domain.ts';
import { EXIT_CODES, verdictOf, type Verdict } from './verdict.domain.ts';

describe('the verdict', () => {
  it.each<[readonly Outcome[], Verdict, number]>([
    [['pass', 'pass'], 'go', 0],
    [['pass', 'fail', 'inconclusive'], 'no-go', 1],
    [['inconclusive', 'fail'], 'no-go', 1],
    [['pass', 'inconclusive'], 'inconclusive', 2],
    [[], 'inconclusive', 2],
  ])('of %j is %s', (outcomes, verdict, code) => {
    expect(verdictOf(outcomes)).toBe(verdict);
    expect(EXIT_CODES[verdict]).toBe(code);
  });
});

describe('a conclusion', () => {
  it.each<[string[], string[], Outcome]>([
    [[], [], 'pass'],
    [['bad'], [], 'fail'],
    [[], ['dark'], 'inconclusive'],
    [['bad'], ['dark'], 'fail'],
  ])('of wrong %j and unclear %j', (wrong, unclear, outcome) => {
    expect(conclude({ wrong, unclear }, 'seen', {}).outcome).toBe(outcome);
  });
});
