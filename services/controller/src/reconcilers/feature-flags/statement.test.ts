import { FLAG_DEFAULTS } from '@arrakis/contracts';
import { describe, expect, it } from 'vitest';
import { nextStatement, readStatement, type FlagsStatement } from './statement.domain.ts';

const OFF = { ...FLAG_DEFAULTS, FEATURE_WEB_CHAT_ENABLED: false };
const OLD: FlagsStatement = {
  observedResourceVersion: '7',
  effective: FLAG_DEFAULTS,
  refused: {},
  carrier: 'nats',
};
const plan = (effective = FLAG_DEFAULTS, refused: Record<string, string> = {}) => ({
  ...{ effective, refused, tell: true },
});

describe('what is stated on the ConfigMap', () => {
  it.each([
    ['nothing changed, NATS told', OLD, plan(), true, '7', 'nats'],
    ['nothing changed, NATS away', OLD, plan(), false, '7', 'nats'],
    ['a change, NATS told', OLD, plan(OFF), true, '9', 'nats'],
    ['a change, NATS away', OLD, plan(OFF), false, '9', 'files'],
    ['a refusal, NATS away', OLD, plan(FLAG_DEFAULTS, { X: 'is no flag' }), false, '9', 'files'],
    ['looked at again, NATS away', { ...OLD, carrier: 'files' }, plan(), false, '7', 'files'],
    ['NATS is back', { ...OLD, carrier: 'files' }, plan(), true, '7', 'nats'],
    ['the first of all, NATS away', undefined, plan(), false, '9', 'files'],
  ] as const)('%s', (_what, old, planned, isTold, version, carrier) => {
    const next = nextStatement(old, planned, { resourceVersion: '9', isTold });
    expect(next).toEqual({
      observedResourceVersion: version,
      effective: planned.effective,
      refused: planned.refused,
      carrier,
    });
    expect(readStatement(JSON.stringify(next))).toEqual(next);
  });

  it.each([
    undefined,
    '',
    'null',
    '[]',
    '{}',
    JSON.stringify({ ...OLD, observedResourceVersion: 7 }),
    JSON.stringify({ ...OLD, effective: { ...FLAG_DEFAULTS, FEATURE_WEB_CHAT_ENABLED: 'true' } }),
    JSON.stringify({ ...OLD, effective: {} }),
  ])('says nothing when it was garbled: %j', (text) => {
    expect(readStatement(text)).toBeUndefined();
  });

  it('is read as an earlier release wrote it', () => {
    const earlier = JSON.stringify({ ...OLD, carrier: undefined });
    expect(readStatement(earlier)).toEqual(OLD);
  });
});
