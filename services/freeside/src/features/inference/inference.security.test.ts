import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { LIMITS, type Problem } from '@arrakis/contracts';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BAD_BODIES, CHAT, INFERENCE, chat, inference } from './test-support/bad-bodies.ts';
import { Harness, type TestKey } from './test-support/harness.ts';

let harness: Harness;
let key: TestKey;
let stranger: TestKey;
let strangersNft: string;

beforeAll(async () => {
  harness = await Harness.start();
  key = await harness.openCommunity();
  await harness.addAgent(key, 'ada', { tier: 'standard' });
  stranger = await harness.openCommunity();
  strangersNft = await harness.addAgent(stranger, 'eve');
});
afterEach(async () => {
  expect(await harness.reservations(key)).toEqual([]);
  expect((await harness.balances(key)).held).toBe(0n);
  expect(harness.finn.requests).toHaveLength(0);
});
afterAll(async () => {
  expect(await harness.undocumentedAnswers()).toEqual([]);
  await harness.stop();
});

interface Answer {
  readonly status: number;
  readonly code: string;
  readonly fields: readonly string[];
  readonly text: string;
}

async function read(response: Response, path: string): Promise<Answer> {
  const text = await response.text();
  const isOpenAi = path.startsWith('/v1/');
  expect(response.headers.get('content-type')).toBe(
    isOpenAi ? 'application/json; charset=utf-8' : 'application/problem+json',
  );
  expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  const body = JSON.parse(text) as Problem & { error: Problem & { problem: string } };
  const problem = isOpenAi ? body.error : body;
  const code = isOpenAi ? body.error.problem : body.code;
  const fields = (problem.errors ?? []).map((error) => error.field);
  return { status: response.status, code, fields, text };
}

describe('a bad body', () => {
  it.each(BAD_BODIES)('%s at %s is refused', async (_what, path, body, status, code, field) => {
    for (const stream of [false, true]) {
      const streamed =
        stream && typeof body === 'object' && !Array.isArray(body) ? { stream, ...body } : body;
      // Not while stream_options without stream is the fault.
      if (stream && field === '/stream_options') continue;
      const answer = await read(await harness.post(path, key, streamed), path);
      expect(answer).toMatchObject({ status, code });
      if (field !== undefined) expect(answer.fields).toContain(field);
    }
  });

  it('says which bound was passed', async () => {
    const response = await harness.post(INFERENCE, key, inference({ max_tokens: 1e9 }));
    expect(await response.text()).toContain(String(LIMITS.maxTokens));
  });

  it('says that sampling belongs to the personality', async () => {
    const response = await harness.post(CHAT, key, chat({ top_p: 0.5 }));
    expect(await response.text()).toContain('personality');
  });

  it.each([
    'text/plain',
    'application/json; charset=latin1',
    'application/jsonx',
    'text/html, application/json',
  ])('as %s is refused', async (contentType) => {
    const headers = { authorization: `Bearer ${key.cleartext}`, 'content-type': contentType };
    const response = await harness.post(INFERENCE, key, inference({}), { headers });
    expect(await read(response, INFERENCE)).toMatchObject({
      status: 415,
      code: 'unsupported_media_type',
    });
  });
});

describe('another community’s agent', () => {
  it.each([
    [INFERENCE, (name: string) => inference({ nft_id: name }), 'nobody'],
    [CHAT, (name: string) => chat({ model: name }), 'nobody'],
  ])('is not told from one that doesn’t exist at %s', async (path, body, unknown) => {
    const known = `1:0x${'cd'.repeat(20)}:1`;
    const answers = await Promise.all(
      ['eve', strangersNft, unknown, known].map(async (name) => {
        const response = await harness.post(path, key, body(name));
        const id = response.headers.get('x-request-id') ?? '';
        return { ...(await read(response, path)), text: '', id: id.length };
      }),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]?.status).toBe(404);
  });

  it('is not among the models', async () => {
    const headers = { authorization: `Bearer ${key.cleartext}` };
    const list = await (await fetch(`${harness.url}/v1/models`, { headers })).text();
    expect(list).toContain('"ada@standard"');
    expect(list).not.toContain('eve');
    for (const name of ['eve', encodeURIComponent(strangersNft), 'ada@flagship', '%20']) {
      const response = await fetch(`${harness.url}/v1/models/${name}`, { headers });
      expect(await read(response, CHAT)).toMatchObject({ status: 404, code: 'model_not_found' });
    }
  });
});

describe('a bad key', () => {
  const wrong = (): string =>
    `${key.cleartext.slice(0, -1)}${key.cleartext.endsWith('a') ? 'b' : 'a'}`;
  it.each<[string, () => string | undefined, string]>([
    ['no key', () => undefined, 'unauthorized'],
    ['another scheme', () => 'Basic abc', 'unauthorized'],
    ['a key of another vendor', () => 'Bearer sk-abc', 'unauthorized'],
    ['a wrong secret', () => `Bearer ${wrong()}`, 'invalid_api_key'],
    [
      'an unknown prefix',
      () => `Bearer lf_live_${'a'.repeat(12)}_${'b'.repeat(32)}`,
      'invalid_api_key',
    ],
  ])('%s is refused before the body is read', async (_what, authorization, code) => {
    for (const path of [INFERENCE, CHAT]) {
      const value = authorization();
      const headers = {
        'content-type': 'application/json',
        ...(value === undefined ? {} : { authorization: value }),
      };
      const response = await harness.post(path, key, '{"broken', { headers });
      expect(response.headers.get('www-authenticate')).toContain('Bearer');
      expect(await read(response, path)).toMatchObject({ status: 401, code });
    }
  });

  it('that was revoked is refused within two seconds', async () => {
    const revoked = await harness.openCommunity();
    await harness.addAgent(revoked, 'ada');
    expect((await harness.post(INFERENCE, revoked, inference({}))).status).toBe(200);
    harness.finn.reset();
    await harness.revoke(revoked);
    const response = await harness.post(INFERENCE, revoked, inference({}));
    expect(await read(response, INFERENCE)).toMatchObject({ status: 401, code: 'invalid_api_key' });
  });

  it('of a sandbox is kept to the cheap pool', async () => {
    const sandbox = await harness.openCommunity({ environment: 'test' });
    await harness.addAgent(sandbox, 'ada', { tier: 'enterprise' });
    const response = await harness.post(INFERENCE, sandbox, inference({ pool: 'standard' }));
    expect(await read(response, INFERENCE)).toMatchObject({
      status: 403,
      code: 'pool_not_allowed',
    });
  });
});

describe('a limit', () => {
  it('of credits says what is left and what would fit', async () => {
    const poor = await harness.openCommunity({ micro: 1_000n });
    await harness.addAgent(poor, 'ada');
    const response = await harness.post(INFERENCE, poor, inference({ max_tokens: 4_000 }));
    expect(response.status).toBe(402);
    const { limit } = (await response.json()) as Problem;
    expect(limit).toMatchObject({ limit: 'credits', remaining: '1000' });
    expect(BigInt(limit?.required ?? '0')).toBeGreaterThan(1_000n);
    expect(limit).not.toHaveProperty('resetsAt');
    const fits = limit?.maxTokensThatFit ?? 0;
    expect(fits).toBeGreaterThan(0);
    expect(await harness.reservations(poor)).toEqual([]);
    // What was said to fit does fit, and one more doesn't.
    const tooMuch = await harness.post(INFERENCE, poor, inference({ max_tokens: fits + 1 }));
    expect(tooMuch.status).toBe(402);
    const enough = await harness.post(INFERENCE, poor, inference({ max_tokens: fits }));
    expect(enough.status).toBe(200);
    harness.finn.reset();
  });

  it('of requests says when it resets', async () => {
    const slow = await harness.openCommunity({ rpm: 1 });
    await harness.addAgent(slow, 'ada');
    expect((await harness.post(INFERENCE, slow, inference({}))).status).toBe(200);
    harness.finn.reset();
    for (const path of [INFERENCE, CHAT]) {
      const response = await harness.post(path, slow, path === CHAT ? chat({}) : inference({}));
      expect(response.status).toBe(429);
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(response.headers.get('x-ratelimit-remaining')).toBe('0');
      const body = (await response.json()) as Problem & { error?: Problem };
      expect((body.error ?? body).limit).toMatchObject({
        limit: 'requests_per_minute',
        allowed: '1',
        remaining: '0',
        maxTokensThatFit: 0,
      });
    }
    expect(await harness.reservations(slow)).toHaveLength(1);
  });

  it('of tokens says what would fit today', async () => {
    const small = await harness.openCommunity({ tpd: 2_000 });
    await harness.addAgent(small, 'ada');
    const response = await harness.post(INFERENCE, small, inference({ max_tokens: 5_000 }));
    expect(response.status).toBe(429);
    const { code, limit } = (await response.json()) as Problem;
    expect(code).toBe('token_limit_reached');
    expect(limit).toMatchObject({ limit: 'tokens_per_day', allowed: '2000', remaining: '2000' });
    expect(Date.parse(limit?.resetsAt ?? '')).toBeGreaterThan(Date.now());
    expect(limit?.maxTokensThatFit).toBeGreaterThan(0);
    expect(await harness.reservations(small)).toEqual([]);
  });
});

describe('a bad request line or header', () => {
  it('a method that isn’t offered is 405 with those that are', async () => {
    const response = await fetch(`${harness.url}${INFERENCE}`);
    expect(response.headers.get('allow')).toBe('POST');
    expect(await read(response, INFERENCE)).toMatchObject({
      status: 405,
      code: 'method_not_allowed',
    });
  });

  it('an unknown path is 404 in the envelope of its API', async () => {
    for (const path of ['/v1/embeddings', '/api/v1/nothing']) {
      const response = await harness.post(path, key, {});
      expect(await read(response, path)).toMatchObject({ status: 404, code: 'not_found' });
    }
  });

  it.each([
    ['/api/v1/inference/', 404, 'not_found'],
    ['//api/v1/inference', 404, 'not_found'],
    ['/api/v1/./inference', 404, 'not_found'],
    ['/API/v1/inference', 404, 'not_found'],
    ['/api%2fv1%2finference', 404, 'not_found'],
    ['/v1/chat/completions/', 404, 'not_found'],
    ['/v1/%zz', 400, 'invalid_request'],
    ['/v1/models/%ff', 400, 'invalid_request'],
    ['/v1/models/%00', 400, 'invalid_encoding'],
    ['*', 404, 'not_found'],
    [`/v1/models/${'x'.repeat(300)}`, 414, 'uri_too_long'],
  ])('the path %s is refused', async (path, status, code) => {
    const { promise, resolve } = Promise.withResolvers<IncomingMessage>();
    const headers = { authorization: `Bearer ${key.cleartext}` };
    httpRequest(harness.url, { method: 'GET', path, headers }, resolve).end();
    const response = await promise;
    const body = JSON.parse((await response.toArray()).join('')) as Record<string, unknown>;
    expect(response.statusCode).toBe(status);
    const error = (body.error ?? { problem: body.code }) as { problem: string };
    expect(error.problem).toBe(code);
  });

  it.each(['OPTIONS', 'PUT', 'PATCH', 'DELETE', 'QUERY'])('%s is 405', async (method) => {
    for (const path of [INFERENCE, CHAT]) {
      const response = await fetch(`${harness.url}${path}`, { method });
      expect(await read(response, path)).toMatchObject({ status: 405, code: 'method_not_allowed' });
      expect(response.headers.get('allow')).toBe('POST');
    }
  });

  it('a huge header is 431', async () => {
    const response = await harness.post(INFERENCE, key, inference({}), {
      headers: { 'x-filler': 'x'.repeat(20_000) },
    });
    expect(response.status).toBe(431);
    expect(await response.json()).toMatchObject({ code: 'headers_too_large' });
  });

  it('garbage instead of HTTP is 400', async () => {
    const { port } = new URL(harness.url);
    const socket = connect(Number(port), '127.0.0.1').end('GARBAGE\r\n\r\n');
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toContain('HTTP/1.1 400');
  });

  it('two content types are refused', async () => {
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    const call = httpRequest(`${harness.url}${INFERENCE}`, { method: 'POST' }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    call.setHeader('authorization', `Bearer ${key.cleartext}`);
    call.setHeader('content-type', ['application/json', 'text/plain']);
    call.end(JSON.stringify(inference({})));
    expect(await promise).toBe(415);
  });

  it('a request id of the client’s own is not believed', async () => {
    const id = '00000000-0000-7000-8000-000000000000';
    const response = await harness.post(INFERENCE, key, inference({ nft_id: 'nobody' }), {
      headers: {
        authorization: `Bearer ${key.cleartext}`,
        'content-type': 'application/json',
        'x-request-id': id,
      },
    });
    expect(response.headers.get('x-request-id')).not.toBe(id);
  });
});
