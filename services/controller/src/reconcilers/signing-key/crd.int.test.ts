import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CLUSTER,
  SKIPPED,
  createTestCluster,
  type TestCluster,
} from '../../test-support/cluster.ts';
import { API_VERSION, KIND, SIGNING_KEYS } from './resource.ts';

const target = { service: 'a', port: 3000 };
const SPEC = {
  issuer: 'loa-freeside',
  targets: { jwks: target, signers: target, verifiers: target },
};

describe.skipIf(CLUSTER === undefined)(`the resource definition${SKIPPED}`, () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await createTestCluster();
  });
  afterAll(() => cluster.drop());

  const path = () => `${SIGNING_KEYS.root}/namespaces/${cluster.namespace}/signingkeys`;
  const create = (name: string, spec: object) =>
    cluster.raw('POST', path(), { apiVersion: API_VERSION, kind: KIND, metadata: { name }, spec });

  it('fills in what is not said', async () => {
    const { status, body } = await create('defaults', SPEC);
    expect(status).toBe(201);
    expect(body).toMatchObject({
      spec: {
        ...{
          algorithm: 'ES256',
          rotationInterval: '2160h',
          overlap: '24h',
          propagationWait: '390s',
        },
        targets: {
          jwks: { path: '/.well-known/jwks.json' },
          verifiers: { path: '/api/v1/s2s/verify' },
        },
      },
    });
  });

  it.each([
    ['an unknown issuer', { issuer: 'somebody' }, 'issuer'],
    ['another algorithm', { algorithm: 'RS256' }, 'algorithm'],
    ['a duration in days', { overlap: '1d' }, 'overlap'],
    ['an overlap shorter than the wait', { overlap: '100s' }, 'overlap must be longer'],
    [
      'a rotation within the overlap',
      { rotationInterval: '24h' },
      'rotationInterval must be longer',
    ],
    ['no wait', { propagationWait: '0s' }, 'propagationWait must be longer'],
    ['no targets', { targets: undefined }, 'targets'],
    [
      'a URL for a path',
      { targets: { ...SPEC.targets, jwks: { ...target, path: 'http://x' } } },
      'path',
    ],
    [
      'a host for a service',
      { targets: { ...SPEC.targets, jwks: { service: 'a.b', port: 1 } } },
      'service',
    ],
  ])('refuses %s', async (_, change, message) => {
    const { status, body } = await create('refused', { ...SPEC, ...change });
    expect(status).toBe(422);
    expect(JSON.stringify(body)).toContain(message);
  });

  it('refuses another issuer later on', async () => {
    await create('fixed', SPEC);
    const change = { spec: { issuer: 'loa-dixie' } };
    const { status, body } = await cluster.raw(
      'PATCH',
      `${path()}/fixed`,
      change,
      'application/merge-patch+json',
    );
    expect([status, JSON.stringify(body)]).toEqual([
      422,
      expect.stringContaining('issuer is immutable'),
    ]);
  });
});
