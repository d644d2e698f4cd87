import { collectSse } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MODEL } from './features/inference/test-support/fake-finn.ts';
import { Harness, type TestKey } from './features/inference/test-support/harness.ts';

let harness: Harness;
let key: TestKey;

beforeAll(async () => {
  harness = await Harness.start();
  key = await harness.openCommunity();
  await harness.addAgent(key, 'ada');
});
afterAll(async () => {
  await harness.stop();
});

const get = (path: string): Promise<Response> =>
  fetch(`${harness.url}${path}`, { headers: { authorization: `Bearer ${key.cleartext}` } });

interface Operation {
  readonly tags?: readonly string[];
  readonly summary?: string;
  readonly security?: readonly object[];
  readonly responses: Readonly<Record<string, { readonly content?: object }>>;
}

describe('the OpenAPI document', () => {
  it('describes every route with its errors', async () => {
    const document = (await (await get('/openapi.json')).json()) as {
      openapi: string;
      paths: Record<string, Record<string, Operation>>;
      components: { securitySchemes: object };
    };
    expect(document.openapi).toBe('3.1.0');
    expect(Object.keys(document.paths).sort()).toEqual([
      '/.well-known/jwks.json',
      '/api/crypto/webhook',
      '/api/v1/balance',
      '/api/v1/credit-packs',
      '/api/v1/inference',
      '/api/v1/payments',
      '/api/v1/payments/{paymentId}',
      '/api/v1/usage/{requestId}',
      '/health',
      '/v1/chat/completions',
      '/v1/models',
      '/v1/models/{model}',
    ]);
    expect(document.components.securitySchemes).toHaveProperty('apiKey');
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const operation of Object.values(operations)) {
        expect(operation.tags, path).toHaveLength(1);
        expect(operation.summary, path).toBeTruthy();
        expect(operation.responses, path).toHaveProperty('200');
        const isPublic =
          ['/health', '/api/crypto/webhook', '/api/v1/credit-packs'].includes(path) ||
          path.startsWith('/.well-known');
        if (!isPublic) expect(operation.security, path).toEqual([{ apiKey: [] }]);
      }
    }
    for (const path of ['/api/v1/inference', '/v1/chat/completions']) {
      const { responses } = document.paths[path]!.post!;
      const statuses = [
        '400',
        '401',
        '402',
        '403',
        '404',
        '405',
        '408',
        '413',
        '415',
        '422',
        '429',
      ];
      expect(Object.keys(responses)).toEqual(expect.arrayContaining([...statuses, '500', '503']));
      expect(responses['402']).toEqual({
        $ref: expect.stringMatching(
          /^#\/components\/responses\/(Problem|OpenAiError)402$/,
        ) as string,
      });
      expect(Object.keys(responses['200']?.content ?? {})).toEqual([
        'application/json',
        'text/event-stream',
      ]);
    }
  });

  it('refers only to what it holds, and repeats no error answer', async () => {
    const text = await (await get('/openapi.json')).text();
    const document = JSON.parse(text) as Record<string, unknown>;
    const references = [...text.matchAll(/"\$ref":"([^"]*)"/g)].map(([, reference]) => reference!);
    expect(references.length).toBeGreaterThan(50);
    for (const reference of new Set(references)) {
      expect(reference).toMatch(/^#\//);
      const target = reference
        .slice(2)
        .split('/')
        .reduce<unknown>((node, name) => (node as Record<string, unknown>)[name], document);
      expect(target, reference).toBeTypeOf('object');
    }
    expect(text.match(/"requestId":\{"type":"string"\}/g)).toHaveLength(1);
    expect(Buffer.byteLength(JSON.stringify(document, null, 2))).toBeLessThan(105_000);
  });

  it('can be browsed, under a policy of its own', async () => {
    const page = await get('/docs/');
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    const script = await get('/docs/static/swagger-initializer.js');
    expect(script.headers.get('content-type')).toContain('javascript');
    expect(await (await get('/docs/json')).json()).toHaveProperty('openapi', '3.1.0');
  });
});

describe('the app', () => {
  it('tells that it runs, and which version', async () => {
    expect(await (await get('/health')).json()).toEqual({ status: 'ok', version: '0.1.0' });
  });

  it('serves the key set', async () => {
    expect(await (await get('/.well-known/jwks.json')).json()).toEqual({ keys: [] });
  });

  it('sends protective headers with answers, errors and streams alike', async () => {
    const stream = await harness.post('/v1/chat/completions', key, {
      model: 'ada',
      messages: [{ role: 'user', content: 'Hi' }],
      stream: true,
    });
    await collectSse(stream.body!);
    for (const response of [await get('/health'), await get('/nothing'), stream]) {
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it('gives the receipt of what it served, and counts it', async () => {
    const response = await harness.post('/api/v1/inference', key, { nft_id: 'ada', prompt: 'Hi' });
    const { id } = (await response.json()) as { id: string };
    const receipt = async (): Promise<unknown> => (await get(`/api/v1/usage/${id}`)).json();
    await expect.poll(receipt).toMatchObject({ requestId: id, status: 'finalized', model: MODEL });
    expect(await (await get('/api/v1/balance')).json()).toMatchObject({ minted: '100000000' });
    const labels = { api: 'inference', outcome: 'answered' };
    expect(await harness.metric('freeside_inference_total', labels)).toBe(1);
    expect(await harness.metric('freeside_finn_attempts_total', { outcome: 'streaming' })).toBe(2);
    expect(await harness.metric('freeside_active_streams')).toBe(0);
  });
});
