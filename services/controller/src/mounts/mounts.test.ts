import { describe, expect, it } from 'vitest';
import { podsToPoke } from './mounts.domain.ts';

const CONFIG_MAP = { kind: 'ConfigMap', name: 'platform-flags' } as const;
const MARK = { annotation: 'flags.arrakis.community/revision', revision: '9' };

describe('the pods to be poked', () => {
  const pod = (name: string, change: object = {}, metadata: object = {}) => ({
    metadata: { name, ...metadata },
    spec: { volumes: [{}, { configMap: { name: 'platform-flags' } }] },
    ...change,
  });
  const revised = (revision: string) => ({
    annotations: { 'flags.arrakis.community/revision': revision },
  });

  const names = (pods: readonly { metadata: { name: string } }[]) =>
    pods.map(({ metadata }) => metadata.name);

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
    expect(names(podsToPoke(pods, CONFIG_MAP, MARK))).toEqual([
      'plain',
      'projected',
      'told-before',
      'running',
    ]);
  });

  it('of a Secret mount it by a volume of its own or a projected one', () => {
    const pods = [
      pod('flags only'),
      pod('secret', { spec: { volumes: [{ secret: { secretName: 'platform-flags' } }] } }),
      pod('projected', {
        spec: { volumes: [{ projected: { sources: [{ secret: { name: 'platform-flags' } }] } }] },
      }),
      pod('another', { spec: { volumes: [{ secret: { secretName: 'other' } }] } }),
    ];
    const secret = { ...CONFIG_MAP, kind: 'Secret' } as const;
    expect(names(podsToPoke(pods, secret, MARK))).toEqual(['secret', 'projected']);
  });
});
