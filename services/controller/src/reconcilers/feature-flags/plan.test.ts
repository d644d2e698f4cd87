import { FLAG_DEFAULTS } from '@arrakis/contracts';
import { describe, expect, it } from 'vitest';
import { nextDocument, planFlags, type FlagsWorld } from './plan.domain.ts';

const ON = { ...FLAG_DEFAULTS };
const DATA = {
  FEATURE_CRYPTO_PAYMENTS_ENABLED: 'true',
  FEATURE_API_KEYS_ENABLED: 'true',
  FEATURE_WEB_CHAT_ENABLED: 'true',
};
const world = (change: Partial<FlagsWorld> = {}): FlagsWorld => ({
  ...{ data: DATA, lastGood: ON, told: ON },
  ...change,
});

describe('the flags', () => {
  it('are told once, and again when one changes', () => {
    expect(planFlags(world({ told: undefined })).tell).toBe(true);
    expect(planFlags(world()).tell).toBe(false);
    const off = planFlags(world({ data: { ...DATA, FEATURE_API_KEYS_ENABLED: 'false' } }));
    expect(off).toMatchObject({ tell: true, refused: {} });
    expect(off.effective.FEATURE_API_KEYS_ENABLED).toBe(false);
  });

  it.each(['TRUE', '1', '', 'yes', 'false\n'])('keep the last good value when one is %j', (bad) => {
    const lastGood = { ...ON, FEATURE_API_KEYS_ENABLED: false };
    const plan = planFlags(
      world({ lastGood, told: lastGood, data: { ...DATA, FEATURE_API_KEYS_ENABLED: bad } }),
    );
    expect(plan).toEqual({
      effective: lastGood,
      refused: { FEATURE_API_KEYS_ENABLED: 'is neither true nor false' },
      tell: false,
    });
  });

  it('take the good values beside a bad one', () => {
    const data = { ...DATA, FEATURE_API_KEYS_ENABLED: 'off', FEATURE_WEB_CHAT_ENABLED: 'false' };
    const plan = planFlags(world({ data }));
    expect(plan.effective).toEqual({ ...ON, FEATURE_WEB_CHAT_ENABLED: false });
    expect(plan.tell).toBe(true);
  });

  it('stated while NATS was away are told, though the value turned bad meanwhile', () => {
    const lastGood = { ...ON, FEATURE_API_KEYS_ENABLED: false };
    const data = { ...DATA, FEATURE_API_KEYS_ENABLED: 'off' };
    const plan = planFlags(world({ data, lastGood, told: ON }));
    expect(plan).toMatchObject({ effective: lastGood, tell: true });
  });

  it('name what is missing or mistyped', () => {
    const plan = planFlags(world({ data: { FEATURE_API_KEY_ENABLED: 'false', other: 'x' } }));
    expect(Object.keys(plan.refused).sort()).toEqual(
      ['FEATURE_API_KEY_ENABLED', ...Object.keys(DATA)].sort(),
    );
    expect(plan.tell).toBe(false);
  });
});

describe('the document that tells them', () => {
  const OFF = { ...ON, FEATURE_API_KEYS_ENABLED: false };
  const now = { resourceVersion: '9', atMs: 1_000 };
  const said = (values: typeof ON, changedAtMs: number, revision = '7') => ({
    ...{ values, changedAtMs, revision },
  });
  const plan = (effective: typeof ON, tell: boolean) => ({ effective, tell, refused: {} });
  const made = { flags: OFF, revision: '9', changedAtMs: 1_000 };

  it('is the one of the bucket while nothing is to be told', () => {
    const stored = said(OFF, 500);
    const expected = { flags: OFF, revision: '7', changedAtMs: 500 };
    expect(nextDocument(plan(OFF, false), { stored, carried: undefined }, now)).toEqual(expected);
    const carried = said(OFF, 800, '8');
    expect(nextDocument(plan(OFF, false), { stored, carried }, now)).toEqual(expected);
  });

  it('is made anew for a change, whether or not NATS can be told', () => {
    for (const stored of [undefined, said(ON, 500)]) {
      for (const carried of [undefined, said(ON, 500)]) {
        expect(nextDocument(plan(OFF, true), { stored, carried }, now)).toEqual(made);
      }
    }
  });

  it('stays what it is while NATS is away or has lost it', () => {
    const before = { stored: undefined, carried: said(OFF, 500) };
    const expected = { flags: OFF, revision: '7', changedAtMs: 500 };
    expect(nextDocument(plan(OFF, true), before, now)).toEqual(expected);
  });

  it('is later than all before it, though this clock is behind', () => {
    const before = { stored: said(ON, 5_000), carried: said(ON, 6_000) };
    expect(nextDocument(plan(OFF, true), before, now).changedAtMs).toBe(6_001);
    const onlyStored = { stored: said(ON, 5_000), carried: undefined };
    expect(nextDocument(plan(OFF, true), onlyStored, now).changedAtMs).toBe(5_001);
  });
});
