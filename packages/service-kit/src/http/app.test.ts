import { Writable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { Registry } from 'prom-client';
import { Type } from 'typebox';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createLogger } from '../logger.ts';
import { ProblemError } from '../problem-error.ts';
import { createHttpApp, type HttpAppOptions } from './app.ts';

type Json = Record<string, unknown>;

const Body = Type.Object(
  {
    model: Type.String({ minLength: 1 }),
    max_tokens: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    stream: Type.Boolean({ default: false }),
    tier: Type.Optional(Type.Union([Type.Literal('free'), Type.Literal('pro')])),
    stop: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])),
    messages: Type.Optional(
      Type.Array(
        Type.Object(
          { role: Type.Enum(['user', 'assistant']), content: Type.String() },
          { additionalProperties: false },
        ),
        { maxItems: 4 },
      ),
    ),
  },
  { additionalProperties: false },
);

let lines: Json[] = [];
/** A request's line comes a turn after its end. */
const lineWritten = (): Promise<void> =>
  vi.waitFor(() => expect(lines.at(-1)?.msg).toBe('request'), { interval: 1, timeout: 10_000 });
let registry = new Registry();

beforeEach(() => {
  lines = [];
});

function createApp(overrides: Partial<HttpAppOptions> = {}): FastifyInstance {
  registry = new Registry();
  const ownLines = lines;
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString('utf8').split('\n').filter(Boolean)) {
        ownLines.push(JSON.parse(line) as Json);
      }
      done();
    },
  });
  const app = createHttpApp({
    logger: createLogger({ service: 'test', level: 'info', destination }),
    bodyLimitBytes: 64 * 1024,
    requestTimeoutMs: 30_000,
    registry,
    envelope: (url) => (url.startsWith('/v1/') ? 'openai' : 'problem'),
    ...overrides,
  });
  app.post('/echo', { schema: { body: Body } }, (request) => request.body);
  app.post('/any', (request) => ({ got: request.body ?? null }));
  app.post('/v1/echo', { schema: { body: Body } }, (request) => request.body);
  app.get('/things/:id', (request) => {
    request.wide.communityId = 'c1';
    return { ok: true };
  });
  app.put('/things/:id', () => ({ ok: true }));
  app.get('/files/*', () => ({ ok: true }));
  app.get(
    '/search',
    {
      schema: {
        querystring: Type.Object({ limit: Type.Integer() }, { additionalProperties: false }),
        headers: Type.Object({ 'X-Mode': Type.Optional(Type.Enum(['a', 'b'])) }),
      },
    },
    () => ({ ok: true }),
  );
  return app;
}

async function post(app: FastifyInstance, url: string, payload: unknown) {
  const response = await app.inject({
    method: 'POST',
    url,
    headers: { 'content-type': 'application/json' },
    payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  });
  return { status: response.statusCode, headers: response.headers, body: response.json<Json>() };
}

describe('a body', () => {
  it('passes with defaults filled in, typed as it came', async () => {
    const { status, body } = await post(createApp(), '/echo', { model: 'm' });
    expect({ status, body }).toEqual({ status: 200, body: { model: 'm', stream: false } });
  });

  it('is not coerced, and every faulty field is named without its value', async () => {
    const { status, body } = await post(createApp(), '/echo', {
      model: ['planted-secret'],
      max_tokens: '1',
      stream: 'true',
      tier: 'gold',
      stop: 7,
      messages: [{ role: 'system' }],
      'odd/~name': 1,
    });
    expect(status).toBe(400);
    expect(body.code).toBe('invalid_request');
    expect(body.errors).toEqual(
      expect.arrayContaining([
        { field: '/model', reason: 'must be string' },
        { field: '/max_tokens', reason: 'must be integer' },
        { field: '/stream', reason: 'must be boolean' },
        { field: '/tier', reason: 'must be one of "free", "pro"' },
        { field: '/stop', reason: 'has none of the allowed forms' },
        { field: '/messages/0/content', reason: 'is required' },
        { field: '/messages/0/role', reason: 'must be one of "user", "assistant"' },
        { field: '/odd~1~0name', reason: 'is not a known field' },
      ]),
    );
    expect(body.errors).toHaveLength(8);
    expect(JSON.stringify(body)).not.toMatch(/planted|gold|system/);
  });

  it('names ten faults at most', async () => {
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`x${index}`, 1]));
    const { body } = await post(createApp(), '/echo', { model: 'm', ...many });
    expect(body.errors).toHaveLength(10);
  });

  it('is required where a schema asks for one', async () => {
    const response = await createApp().inject({ method: 'POST', url: '/echo' });
    expect(response.statusCode).toBe(400);
    expect(response.json<Json>().errors).toEqual([{ field: '/', reason: 'must be object' }]);
  });

  it.each(['', ' ', '{', '{"a":1}x', "{'a':1}", '\u0000', '{"a":"\u0000"}', '[1,]', 'NaN'])(
    'that is %j is malformed JSON',
    async (payload) => {
      const { status, body } = await post(createApp(), '/any', payload);
      expect({ status, code: body.code }).toEqual({ status: 400, code: 'malformed_json' });
    },
  );

  it.each([
    ['{"__proto__":{"admin":true}}', '/__proto__'],
    ['{"a":[{"__proto__":1}]}', '/a/0/__proto__'],
    [String.raw`{"\u005f_proto__":1}`, '/__proto__'],
    ['{"constructor":{"prototype":{"admin":true}}}', '/constructor'],
  ])('cannot reach prototypes: %s', async (payload, field) => {
    const { status, body } = await post(createApp(), '/any', payload);
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' });
    expect(body.errors).toEqual([{ field, reason: 'is not a known field' }]);
  });

  it.each([
    ['{"a":1,"a":2}', '/a'],
    ['{"a":1,"a":1}', '/a'],
    [String.raw`{"a":1, "\u0061" : 2}`, '/a'],
    ['{"x":[1,{"b":"\\"","c":{"d":1,"d":{}}}]}', '/x/1/c/d'],
    [String.raw`{"\"":1,"\"":2}`, '/"'],
  ])('may name nothing twice in one object: %s', async (payload, field) => {
    const { status, body } = await post(createApp(), '/any', payload);
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_request' });
    expect(body.errors).toEqual([{ field, reason: 'must be given once' }]);
  });

  it.each([
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
    String.raw`{"a":"\"a\":1,\\","b":":::","c:":{}}`,
    '{"constructor":1,"prototype":2}',
  ])('may name the same in different objects: %s', async (payload) => {
    expect((await post(createApp(), '/any', payload)).status).toBe(200);
  });

  it.each([
    [String.raw`{"a":"x\u0000y"}`, '/a'],
    [String.raw`{"a":["ok",{"b":"\ud800"}]}`, '/a/1/b'],
    [String.raw`{"a":"\uDFFF\uD800"}`, '/a'],
    [String.raw`{"a":{"k\u0000":1}}`, '/a/k\u{fffd}'],
    [String.raw`{"k\udc00":1}`, '/k\u{fffd}'],
    [String.raw`"\u0000"`, '/'],
  ])('with text that cannot be stored is refused at its place: %s', async (payload, field) => {
    const { status, body } = await post(createApp(), '/any', payload);
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'invalid_encoding' });
    expect((body.errors as Json[])[0]!.field).toBe(field);
  });

  it.each([String.raw`{"a":"\ud83d\ude00"}`, '{"a":"😀"}', String.raw`{"a":"\\u0000 \\ud800"}`])(
    'with whole characters passes: %s',
    async (payload) => {
      expect(await post(createApp(), '/any', payload)).toMatchObject({
        status: 200,
        body: { got: JSON.parse(payload) as unknown },
      });
    },
  );

  it('may be nested 32 deep and no deeper', async () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect((await post(createApp(), '/any', nested(32))).status).toBe(200);
    const refused = await post(createApp(), '/any', nested(33));
    expect(refused.status).toBe(400);
    expect(refused.body.code).toBe('invalid_request');
    // Deep enough to break a parser that recurses.
    expect((await post(createApp(), '/any', nested(30_000))).status).toBe(400);
  });

  it('with more values than anyone sends is refused before validation', async () => {
    const { status, body } = await post(createApp({ maxJsonValues: 100 }), '/echo', {
      model: 'm',
      messages: Array.from({ length: 100 }, () => 1),
    });
    expect(status).toBe(400);
    expect(body.errors).toEqual([{ field: '/', reason: 'must hold at most 100 values' }]);
  });
});

describe('the rest of a request', () => {
  it('is validated without coercion, each part under its own name', async () => {
    const app = createApp();
    const query = await app.inject('/search?limit=10&x=1');
    expect(query.json<Json>().errors).toEqual([
      { field: 'query:x', reason: 'is not a known field' },
      { field: 'query:limit', reason: 'must be integer' },
    ]);
    const app2 = createHttpApp({
      logger: app.log as never,
      bodyLimitBytes: 1,
      requestTimeoutMs: 1,
    });
    app2.get('/h', {
      schema: { headers: Type.Object({ 'X-Mode': Type.Enum(['a', 'b']) }) },
      handler: () => ({ ok: true }),
    });
    const header = await app2.inject({ url: '/h', headers: { 'x-mode': 'zzz' } });
    expect(header.json<Json>().errors).toEqual([
      { field: 'header:x-mode', reason: 'must be one of "a", "b"' },
    ]);
  });

  it.each([
    ['/things/%00', 'path'],
    ['/things/1?q=%00', 'query'],
  ])('must not have NUL in its URL: %s', async (url, field) => {
    const response = await createApp().inject(url);
    expect(response.json<Json>()).toMatchObject({ code: 'invalid_encoding', errors: [{ field }] });
  });
});

describe('routing', () => {
  it('answers an unknown path with 404, whatever the body', async () => {
    const response = await createApp().inject({
      method: 'POST',
      url: '/nothing?secret=planted',
      headers: { 'content-type': 'text/plain' },
      payload: 'x',
    });
    expect(response.statusCode).toBe(404);
    expect(response.headers['content-type']).toBe('application/problem+json');
    expect(response.json<Json>()).toMatchObject({ code: 'not_found' });
    expect(response.body).not.toContain('planted');
  });

  it.each([
    ['DELETE', '/things/1', 'GET, HEAD, PUT'],
    ['GET', '/echo', 'POST'],
    ['OPTIONS', '/echo?x=1', 'POST'],
    ['PROPFIND', '/files/a/b', 'GET, HEAD'],
  ])('answers %s %s with 405 and the methods there are', async (method, url, allow) => {
    const response = await createApp().inject({ method: method as 'GET', url });
    expect(response.statusCode).toBe(405);
    expect(response.headers.allow).toBe(allow);
    expect(response.json<Json>()).toMatchObject({ code: 'method_not_allowed' });
  });
});

describe('a failure', () => {
  const throwing = (error: unknown): FastifyInstance => {
    const app = createApp();
    const fail = (): never => {
      throw error;
    };
    app.get('/fail', fail);
    app.get('/v1/fail', fail);
    return app;
  };

  it('that nobody foresaw is a 500 that tells nothing, with its stack in the log', async () => {
    const error = Object.assign(new Error('vendor said: planted'), {
      // As the client of another service puts them on its errors.
      code: 'UND_ERR_RESPONSE',
      statusCode: 429,
      headers: { 'x-leak': 'planted' },
      config: { authorization: 'Bearer planted-token' },
    });
    const response = await throwing(error).inject('/fail?key=planted');
    expect(response.statusCode).toBe(500);
    expect(response.json<Json>()).toMatchObject({ code: 'internal' });
    expect(response.body + JSON.stringify(response.headers)).not.toContain('planted');
    await lineWritten();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 'error', status: 500, err: { type: 'Error' } });
    expect(JSON.stringify(lines[0])).not.toContain('planted-token');
    expect((lines[0]!.err as Json).stack).toContain('app.test.ts');
  });

  it.each([undefined, null, 'text', 7])('may be thrown as %j', async (thrown) => {
    const app = createApp();
    app.get('/odd', () => Promise.reject(thrown as unknown as Error));
    expect((await app.inject('/odd')).json<Json>()).toMatchObject({ code: 'internal' });
  });

  it('foreseen is rendered with its members and headers, and no error in the log', async () => {
    const limit = { limit: 'rpm', remaining: '0', maxTokensThatFit: 0 };
    const error = new ProblemError({
      code: 'rate_limited',
      detail: 'Ten requests a minute.',
      limit,
      headers: { 'Retry-After': '7' },
      cause: new Error('planted'),
    });
    const response = await throwing(error).inject('/fail');
    expect(response.statusCode).toBe(429);
    expect(response.headers['retry-after']).toBe('7');
    expect(response.json<Json>()).toMatchObject({ detail: 'Ten requests a minute.', limit });
    await lineWritten();
    expect(lines[0]).toMatchObject({ level: 'info', status: 429 });
    expect(lines[0]!.err).toBeUndefined();
  });

  it('of the 503 kind always says when to come back', async () => {
    const plain = await throwing(new ProblemError({ code: 'inference_unavailable' })).inject(
      '/fail',
    );
    expect(plain.headers['retry-after']).toBe('1');
    const own = new ProblemError({ code: 'service_unavailable', headers: { 'retry-after': '30' } });
    expect((await throwing(own).inject('/fail')).headers['retry-after']).toBe('30');
  });

  it('survives header values that no header can carry', async () => {
    const app = throwing(
      new ProblemError({ code: 'forbidden', headers: { 'x-name': '名前\r\nx-injected: 1' } }),
    );
    app.get('/bad-header', (_request, reply) => reply.header('x-name', '名前').send({ ok: true }));
    const refused = await app.inject('/fail');
    expect(refused.statusCode).toBe(403);
    expect(refused.json<Json>()).toMatchObject({ code: 'forbidden' });
    expect(refused.headers['x-injected']).toBeUndefined();
    const failed = await app.inject('/bad-header');
    expect(failed.statusCode).toBe(500);
    expect(failed.json<Json>()).toMatchObject({ code: 'internal' });
  });

  it('keeps the headers that hold for any answer, and drops those of the one that failed', async () => {
    const app = createApp();
    app.get('/late', (_request, reply) => {
      void reply.headers({
        'x-ratelimit-remaining': '3',
        etag: '"x"',
        'cache-control': 'public, max-age=300',
        'content-encoding': 'gzip',
        'x-tags': ['ok', '名前'],
      });
      throw new Error('late');
    });
    const { headers } = await app.inject('/late');
    expect(headers).toMatchObject({
      'x-ratelimit-remaining': '3',
      'cache-control': 'no-store',
      'content-type': 'application/problem+json',
    });
    for (const name of ['etag', 'content-encoding', 'x-tags']) {
      expect(headers[name]).toBeUndefined();
    }
  });

  it.each(['/nothing', '/things/%00'])(
    'met before the handler has what other hooks add to every answer: %s',
    async (url) => {
      const app = createApp();
      app.addHook('onRequest', (_request, reply, done) => {
        void reply.header('x-content-type-options', 'nosniff');
        done();
      });
      const { headers, statusCode } = await app.inject(url);
      expect(statusCode).toBeGreaterThanOrEqual(400);
      expect(headers['x-content-type-options']).toBe('nosniff');
    },
  );

  it("wears OpenAI's envelope where the route is OpenAI's", async () => {
    const response = await throwing(new ProblemError({ code: 'invalid_api_key' })).inject(
      '/v1/fail',
    );
    expect(response.statusCode).toBe(401);
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(response.json<Json>()).toMatchObject({
      error: { type: 'invalid_request_error', code: 'invalid_api_key', param: null },
      request_id: response.headers['x-request-id'],
    });
    const invalid = await post(createApp(), '/v1/echo', {
      model: 'm',
      messages: [{ role: 'user' }],
    });
    expect(invalid.body.error).toMatchObject({ param: 'messages[0].content' });
    expect((await createApp().inject('/v1/nothing')).json<Json>()).toHaveProperty('error');
  });
});

describe('observation', () => {
  it('is one log line per request, with the route and never the URL', async () => {
    const response = await createApp().inject({
      url: '/things/planted-id?token=planted',
      headers: { authorization: 'Bearer planted', cookie: 'planted' },
    });
    await lineWritten();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      level: 'info',
      msg: 'request',
      method: 'GET',
      route: '/things/:id',
      status: 200,
      requestId: response.headers['x-request-id'],
      communityId: 'c1',
    });
    expect(lines[0]!.durationMs).toBeTypeOf('number');
    expect(JSON.stringify(lines)).not.toContain('planted');
  });

  it('redacts credentials that someone logs after all', async () => {
    const app = createApp();
    app.get('/careless', (request) => {
      request.log.info({ headers: request.headers }, 'careless');
      return {};
    });
    await app.inject({
      url: '/careless',
      headers: { authorization: 'planted', cookie: 'planted' },
    });
    await lineWritten();
    expect(lines.map((line) => line.msg)).toEqual(['careless', 'request']);
    expect(JSON.stringify(lines)).not.toContain('planted');
  });

  it('counts and times by route pattern', async () => {
    const app = createApp();
    await app.inject('/things/1');
    await app.inject('/things/2');
    await app.inject('/random-a');
    await app.inject('/random-b');
    const text = await registry.metrics();
    expect(text).toContain('http_requests_total{method="GET",route="/things/:id",status="200"} 2');
    expect(text).toContain('http_requests_total{method="GET",route="unmatched",status="404"} 2');
    expect(text).toContain('http_request_duration_seconds_count{route="/things/:id"} 2');
    expect(text).not.toContain('random');
  });

  it('gives every request an id that sorts by time', async () => {
    const app = createApp();
    const ids: unknown[] = [];
    for (let round = 0; round < 20; round += 1) {
      ids.push((await app.inject('/things/1')).headers['x-request-id']);
    }
    expect(new Set(ids).size).toBe(20);
    expect(ids).toEqual(ids.toSorted());
  });
});
