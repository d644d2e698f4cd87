import { FLAG_DEFAULTS } from '@arrakis/contracts';
import { describe, expect, it } from 'vitest';
import { podsToPoke } from './mounts.domain.ts';
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

describe('the pods to be poked', () => {
  const pod = (name: string, change: object = {}, metadata: object = {}) => ({
    metadata: { name, ...metadata },
    spec: { volumes: [{}, { configMap: { name: 'platform-flags' } }] },
    ...change,
  });
  const revised = (revision: string) => ({
    annotations: { 'flags.arrakis.community/revision': revision },
  });

  it('are those that live, mount the ConfigMap, and do not carry the revision', () => {
    const projected = {
      spec: {
        volumes: [{ projected: { sources: [{}, { configMap: { name: 'platform-flags' } }] } }],
      },
    };
    const pods = [
      pod('plain'),
      pod('projected', projected),
      pod('told-before', {}, revised('8')),
      pod('told', {}, revised('9')),
      pod('no-volumes', { spec: {} }),
      pod('other', { spec: { volumes: [{ configMap: { name: 'pools' } }] } }),
      pod('going', {}, { deletionTimestamp: '2026-01-01T00:00:00Z' }),
      pod('done', { status: { phase: 'Succeeded' } }),
      pod('failed', { status: { phase: 'Failed' } }),
      pod('running', { status: { phase: 'Running' } }),
    ];
    expect(podsToPoke(pods, 'platform-flags', '9').map(({ metadata }) => metadata.name)).toEqual([
      'plain',
      'projected',
      'told-before',
      'running',
    ]);
  });
});
