import { FLAG_DEFAULTS } from '@arrakis/contracts';
import { describe, expect, it } from 'vitest';
import { planFlags, type FlagsWorld } from './plan.domain.ts';

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
