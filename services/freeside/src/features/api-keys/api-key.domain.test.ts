import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DEFAULT_LIVE_LIMITS,
  MAX_LIVE_LIMITS,
  SANDBOX_LIMITS,
  decideLimits,
} from './api-key.domain.ts';

describe('the limits of a new key', () => {
  it('are the defaults of its environment when nobody asks for others', () => {
    expect(decideLimits('live', {})).toEqual({ ok: true, limits: DEFAULT_LIVE_LIMITS });
    expect(decideLimits('test', {})).toEqual({ ok: true, limits: SANDBOX_LIMITS });
    expect(SANDBOX_LIMITS).toEqual({ requestsPerMinute: 10, tokensPerDay: 10_000 });
  });

  it('of a sandbox key can be lowered but never raised', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -5, max: 50 }),
        fc.integer({ min: -5, max: 50_000 }),
        (r, t) => {
          const decision = decideLimits('test', { requestsPerMinute: r, tokensPerDay: t });
          expect(decision.ok).toBe(r >= 1 && r <= 10 && t >= 1 && t <= 10_000);
        },
      ),
    );
  });

  it.each([0, -1, 1.5, Number.NaN, MAX_LIVE_LIMITS.requestsPerMinute + 1])(
    'of a live key are not %d requests a minute',
    (requestsPerMinute) => {
      expect(decideLimits('live', { requestsPerMinute })).toMatchObject({
        ok: false,
        code: 'invalid_limits',
      });
    },
  );
});
