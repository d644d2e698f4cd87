import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { createPool } from '@arrakis/postgres';
import { createHttpApp, createLogger, createRegistry } from '@arrakis/service-kit';
import {
  createTestDatabase,
  startTcpRelay,
  waitFor,
  type TcpRelay,
  type TestDatabase,
} from '@arrakis/testkit';
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createApiKeyEvents } from './events.ts';
import { KeyManagementService, type IssuedKey } from './key-management.service.ts';
import { decoratePrincipal, requireApiKey } from './require-api-key.ts';
import { ApiKeyService } from './service.ts';
import { ALL_ON, insertCommunity, randomPeppers } from './test-support/community.ts';

const peppers = randomPeppers();
const lines: string[] = [];
const logger = createLogger({
  service: 'test',
  level: 'debug',
  destination: { write: (line: string) => void lines.push(line) },
});

let database: TestDatabase;
let relay: TcpRelay;
let pool: Pool;
let wiredPool: Pool;
let keys: KeyManagementService;
let app: FastifyInstance | undefined;
let service: ApiKeyService | undefined;
let port: number;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = openPool(database.appUrl);
  keys = new KeyManagementService(pool, ALL_ON, peppers);
  const url = new URL(database.appUrl);
  relay = await startTcpRelay({ targetPort: Number(url.port) });
  url.hostname = relay.host;
  url.port = String(relay.port);
  wiredPool = openPool(url.href);
});

// A fresh service for each test, so that no test meets the throttle that another one filled.
beforeEach(async () => {
  await app?.close();
  await service?.close();
  const registry = createRegistry('test');
  const keyService = new ApiKeyService({
    db: wiredPool,
    peppers,
    events: createApiKeyEvents(registry, logger),
  });
  service = keyService;
  const server = createHttpApp({
    logger,
    bodyLimitBytes: 1024,
    requestTimeoutMs: 5000,
    envelope: (path) => (path.startsWith('/v1/') ? 'openai' : 'problem'),
  });
  app = server;
  decoratePrincipal(server);
  server.get('/open', (request) => ({ principal: request.principal }));
  for (const path of ['/inference', '/v1/inference']) {
    server.post(
      path,
      { onRequest: requireApiKey(keyService, { scope: 'inference' }) },
      (request) => ({
        keyId: request.principal.keyId,
      }),
    );
  }
  await server.listen({ host: '127.0.0.1', port: 0 });
  port = (server.server.address() as AddressInfo).port;
});

afterAll(async () => {
  await app?.close();
  await service?.close();
  await relay.close();
  await wiredPool.end();
  await pool.end();
  await database.drop();
});

function openPool(url: string): Pool {
  return createPool({
    url,
    max: 4,
    applicationName: 'test',
    connectTimeoutMs: 500,
    onError: () => undefined,
  });
}

async function newKey(scopes?: readonly ('inference' | 'read')[]): Promise<IssuedKey> {
  const user = await insertCommunity(pool, { slug: `c-${crypto.randomUUID()}` });
  const result = await keys.create({ ...user, environment: 'live', name: 'k', scopes });
  if (!result.ok) throw new Error(result.detail);
  return result;
}

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
  readonly body: Record<string, unknown>;
}

async function call(
  authorization: string | string[] | undefined,
  options: { readonly path?: string; readonly body?: string } = {},
): Promise<Answer> {
  const { path = '/inference', body = '{}' } = options;
  const headers: OutgoingHttpHeaders = {};
  if (path !== '/open') headers['content-type'] = 'application/json';
  // Node's types know one Authorization header only; a hostile client knows better.
  if (authorization !== undefined) Object.assign(headers, { authorization });
  const request = httpRequest({
    port,
    host: '127.0.0.1',
    method: path === '/open' ? 'GET' : 'POST',
    path,
    agent: false,
    headers,
  });
  request.end(path === '/open' ? undefined : body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text,
    body: JSON.parse(text) as Record<string, unknown>,
  };
}

/** The answer as a stranger sees it, without what differs between any two answers. */
function visible({ status, headers, text }: Answer): string {
  const own = { date: undefined, 'x-request-id': undefined };
  const shared = text.replaceAll(String(headers['x-request-id']), 'REQUEST');
  return JSON.stringify({ status, headers: { ...headers, ...own }, text: shared });
}

describe('a request with a good key', () => {
  it('comes in, whatever the case of the scheme', async () => {
    const { key, cleartext } = await newKey();
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
      const answer = await call(`${scheme} ${cleartext}`);
      expect(answer).toMatchObject({ status: 200, body: { keyId: key.keyId } });
    }
  });

  it('is forbidden what the key has no scope for', async () => {
    const { cleartext } = await newKey(['read']);
    const answer = await call(`Bearer ${cleartext}`);
    expect(answer).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    expect(answer.headers['content-type']).toContain('application/problem+json');
  });

  it('is a stranger to a route that asks for no key', async () => {
    const { cleartext } = await newKey();
    expect((await call(`Bearer ${cleartext}`, { path: '/open' })).status).toBe(500);
  });
});

describe('a request without a usable key', () => {
  const secret = 'aZ09'.repeat(8);
  it.each([
    ['no header', undefined],
    ['an empty header', ''],
    ['no scheme', `lf_live_abcdefgh2345_${secret}`],
    ['another scheme', `Basic lf_live_abcdefgh2345_${secret}`],
    ['no space after the scheme', `Bearerlf_live_abcdefgh2345_${secret}`],
    ['only the scheme', 'Bearer'],
    ['a key of somebody else', 'Bearer sk-proj-0123456789'],
    ['a short secret', `Bearer lf_live_abcdefgh2345_${secret.slice(1)}`],
    ['a long secret', `Bearer lf_live_abcdefgh2345_${secret}a`],
    ['an upper-case prefix', `Bearer LF_LIVE_ABCDEFGH2345_${secret}`],
    ['a foreign character', `Bearer lf_live_abcdefgh2345_${secret.slice(1)}-`],
    ['two keys', `Bearer lf_live_abcdefgh2345_${secret}, lf_live_abcdefgh2345_${secret}`],
    ['quotes', `Bearer "lf_live_abcdefgh2345_${secret}"`],
    ['SQL', `Bearer lf_live_abcdefgh2345_' OR 1=1 --`],
    ['latin letters', 'Bearer lf_live_\u00e9'],
    ['eight kilobytes', `Bearer ${'a'.repeat(8192)}`],
  ])('is unauthorized: %s', async (_, authorization) => {
    const answer = await call(authorization);
    expect(answer).toMatchObject({ status: 401, body: { code: 'unauthorized' } });
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="arrakis"');
    expect(answer.text).not.toContain(secret);
  });

  it('is malformed when the header comes twice, be one of them good', async () => {
    const { cleartext } = await newKey();
    const answer = await call([`Bearer ${cleartext}`, 'Bearer other']);
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
    expect(JSON.stringify(answer.body.errors).toLowerCase()).toContain('header:authorization');
  });

  it('is refused with 431 when the header is enormous, and the connection is closed', async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(
      `POST /inference HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${'a'.repeat(64 * 1024)}\r\n\r\n`,
    );
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1\.1 431 /);
    expect(text).toContain('"headers_too_large"');
  });

  it('is refused before its body is read', async () => {
    const answer = await call(undefined, { body: '{broken' });
    expect(answer.status).toBe(401);
    const huge = await call(undefined, { body: JSON.stringify({ text: 'x'.repeat(4096) }) });
    expect(huge.status).toBe(401);
  });

  it('gets the OpenAI envelope on /v1', async () => {
    const answer = await call('Bearer nonsense', { path: '/v1/inference' });
    expect(answer.status).toBe(401);
    expect(answer.body).toMatchObject({ error: { type: 'invalid_request_error' } });
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="arrakis"');
  });
});

describe('a key that opens nothing', () => {
  it('gets the same bytes whether it is unknown, has a wrong secret or was revoked', async () => {
    const revoked = await newKey();
    await keys.revoke(revoked.key.keyId);
    const good = await newKey();
    const candidates = [
      `Bearer lf_live_aaaaaaaaaaaa_${'0'.repeat(32)}`,
      `Bearer ${good.key.keyPrefix}_${'0'.repeat(32)}`,
      `Bearer ${revoked.cleartext}`,
      `Bearer ${revoked.key.keyPrefix}_${'0'.repeat(32)}`,
    ];
    // Twice each: the first answer comes from the database, the second from memory.
    for (const path of ['/inference', '/v1/inference']) {
      const answers: Answer[] = [];
      for (const authorization of [...candidates, ...candidates]) {
        answers.push(await call(authorization, { path }));
      }
      expect(new Set(answers.map(visible)).size).toBe(1);
      expect(answers[0]?.status).toBe(401);
    }
  });

  it('stops within two seconds of being revoked', async () => {
    const { key, cleartext } = await newKey();
    expect((await call(`Bearer ${cleartext}`)).status).toBe(200);
    await keys.revoke(key.keyId);
    const revokedAt = performance.now();
    const tooLate: number[] = [];
    await waitFor(
      async () => {
        const askedAt = performance.now();
        const { status } = await call(`Bearer ${cleartext}`);
        if (askedAt - revokedAt >= 2000 && status !== 401) tooLate.push(status);
        return status === 401;
      },
      { intervalMs: 20 },
    );
    expect(tooLate).toEqual([]);
  });

  it('is asked to wait after many attempts, while a good key from the same address goes on', async () => {
    const { cleartext } = await newKey();
    expect((await call(`Bearer ${cleartext}`)).status).toBe(200);
    const wrong = `Bearer lf_live_aaaaaaaaaaaa_${'0'.repeat(32)}`;
    const answer = await waitFor(async () => {
      const attempt = await call(wrong);
      return attempt.status === 429 ? attempt : undefined;
    });
    expect(answer.body).toMatchObject({ code: 'rate_limited', limit: { remaining: '0' } });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect((await call(`Bearer ${cleartext}`)).status).toBe(200);
  });
});

describe('when the database is away', () => {
  it('an uncached key is answered with 503 and Retry-After, not with a refusal', async () => {
    const { cleartext } = await newKey();
    await relay.cut();
    try {
      const answer = await call(`Bearer ${cleartext}`);
      expect(answer).toMatchObject({ status: 503, body: { code: 'service_unavailable' } });
      expect(answer.headers['retry-after']).toBe('1');
      expect(answer.text).not.toMatch(/ECONN|postgres|pg/i);
    } finally {
      await relay.restore();
    }
    await waitFor(async () => (await call(`Bearer ${cleartext}`)).status === 200);
  });
});

describe('what is logged', () => {
  it('never holds a presented key, good or bad', async () => {
    lines.length = 0;
    const { cleartext } = await newKey();
    const wrong = `lf_live_aaaaaaaaaaaa_${'Q'.repeat(32)}`;
    await call(`Bearer ${cleartext}`);
    await call(`Bearer ${wrong}`);
    await call(`Bearer ${wrong}x`);
    await relay.cut();
    await call(`Bearer ${wrong.replace('aaaa', 'bbbb')}`);
    await relay.restore();
    await waitFor(() => lines.length >= 4);
    const text = lines.join('');
    expect(text).not.toContain(cleartext.slice(-32));
    expect(text).not.toContain('Q'.repeat(32));
  });
});
