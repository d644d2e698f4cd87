import { once } from 'node:events';
import { createConnection, type AddressInfo, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { afterEach, describe, expect, it } from 'vitest';
import { createLogger } from '../logger.ts';
import { createHttpApp, type HttpAppOptions } from './app.ts';

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

type Line = Record<string, unknown>;

interface Running {
  readonly app: FastifyInstance;
  readonly port: number;
  readonly lines: Line[];
  /** Resolves with the first line that fits, now or later. */
  readonly line: (fits: (line: Line) => boolean) => Promise<Line>;
}

const running: FastifyInstance[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(running.splice(0).map((app) => app.close()));
});

async function listen(
  overrides: Partial<HttpAppOptions> = {},
  addRoutes: (app: FastifyInstance) => void = () => undefined,
): Promise<Running> {
  const lines: Line[] = [];
  const waiting: { fits: (line: Line) => boolean; found: (line: Line) => void }[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const text of chunk.toString('utf8').split('\n').filter(Boolean)) {
        const line = JSON.parse(text) as Line;
        lines.push(line);
        for (const waiter of waiting) if (waiter.fits(line)) waiter.found(line);
      }
      done();
    },
  });
  const app = createHttpApp({
    logger: createLogger({ service: 'test', level: 'info', destination }),
    bodyLimitBytes: 1024,
    requestTimeoutMs: 30_000,
    ...overrides,
  });
  app.post('/echo', { schema: { body: Type.Object({ a: Type.Integer() }) } }, (request) => ({
    got: request.body,
  }));
  app.get('/things/:id', () => ({ ok: true }));
  addRoutes(app);
  running.push(app);
  await app.listen({ host: '127.0.0.1', port: 0 });
  const line = (fits: (line: Line) => boolean): Promise<Line> =>
    new Promise((found) => {
      const known = lines.find(fits);
      if (known !== undefined) found(known);
      else waiting.push({ fits, found });
    });
  return { app, port: (app.server.address() as AddressInfo).port, lines, line };
}

interface RawResponse {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

function connect(port: number): Socket {
  const socket = createConnection({ port, host: '127.0.0.1' });
  sockets.push(socket);
  socket.on('error', () => undefined);
  return socket;
}

/** Sends bytes as they are and reads until the server closes. */
async function exchange(port: number, bytes: string | Buffer): Promise<RawResponse> {
  const socket = connect(port);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(bytes);
  await once(socket, 'close');
  return parse(Buffer.concat(chunks).toString('utf8'));
}

function parse(text: string): RawResponse {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [statusLine = '', ...headerLines] = head.split('\r\n');
  const headers = Object.fromEntries(
    headerLines.map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
    }),
  );
  return { status: Number(statusLine.split(' ')[1]), headers, body: rest.join('\r\n\r\n') };
}

function request(lines: string[], body: string | Buffer = ''): Buffer {
  const bytes = Buffer.from(body as string, 'utf8');
  const head = [
    ...lines,
    'Host: test',
    'Connection: close',
    ...(bytes.length > 0 ? [`Content-Length: ${bytes.length}`] : []),
    '',
    '',
  ].join('\r\n');
  return Buffer.concat([Buffer.from(head, 'latin1'), bytes]);
}

function expectProblem(response: RawResponse, status: number, code: string): void {
  expect(response.status).toBe(status);
  expect(response.headers['content-type']).toBe('application/problem+json');
  expect(response.headers['x-request-id']).toMatch(UUID_V7);
  expect(Number(response.headers['content-length'])).toBe(Buffer.byteLength(response.body));
  const problem = JSON.parse(response.body) as Line;
  expect(problem).toMatchObject({ status, code, requestId: response.headers['x-request-id'] });
}

describe('an HTTP app on a real socket', () => {
  it('answers bytes that are no HTTP with a 400 problem, logs them and goes on', async () => {
    const { port, line } = await listen();
    expectProblem(await exchange(port, 'NOT HTTP AT ALL\r\n\r\n'), 400, 'invalid_request');
    expect(await line((entry) => entry.route === 'unparsed')).toMatchObject({ status: 400 });
    expect((await exchange(port, request(['GET /things/1 HTTP/1.1']))).status).toBe(200);
  });

  it('answers headers beyond the bound with 431', async () => {
    const { port } = await listen();
    const huge = request(['GET /things/1 HTTP/1.1', `X-Big: ${'x'.repeat(17 * 1024)}`]);
    expectProblem(await exchange(port, huge), 431, 'headers_too_large');
  });

  it('answers a head that does not arrive in time with 408', async () => {
    const { port } = await listen({ requestTimeoutMs: 100, timeoutCheckIntervalMs: 20 });
    const response = await exchange(port, 'GET /things/1 HTTP/1.1\r\nHost: te');
    expectProblem(response, 408, 'request_timeout');
  });

  it('answers a body that does not arrive in time with 408, under the id of its log line', async () => {
    const { port, line } = await listen({ requestTimeoutMs: 100, timeoutCheckIntervalMs: 20 });
    const response = await exchange(
      port,
      'POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"a"',
    );
    expectProblem(response, 408, 'request_timeout');
    const logged = await line((entry) => entry.route === '/echo');
    expect(logged).toMatchObject({ status: 408, requestId: response.headers['x-request-id'] });
  });

  it('never writes a second head into an answer that has begun', async () => {
    const { port } = await listen({ requestTimeoutMs: 100, timeoutCheckIntervalMs: 20 }, (app) => {
      app.addHook('onRequest', (incoming, reply, done) => {
        if (incoming.url !== '/early') {
          done();
          return;
        }
        reply.hijack();
        reply.raw.writeHead(200, { 'content-type': 'text/plain' });
        reply.raw.write('begun');
      });
      app.post('/early', () => 'never');
    });
    const response = await exchange(
      port,
      'POST /early HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
    );
    expect(response.status).toBe(200);
    expect(response.headers['x-request-id']).toMatch(UUID_V7);
    expect(response.body).not.toContain('HTTP/1.1');
  });

  it('survives a client that resets its connection in the middle of a body', async () => {
    const { port, line } = await listen();
    const socket = connect(port);
    socket.write(
      'POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"a"',
    );
    await once(socket, 'connect');
    // A second request tells that the server has seen the first one's head.
    await exchange(port, request(['GET /things/1 HTTP/1.1']));
    socket.resetAndDestroy();
    const logged = await line((entry) => entry.route === '/echo');
    expect(logged).toMatchObject({ level: 'info', status: 499, aborted: true });
    expect(logged.err).toBeUndefined();
    expect((await exchange(port, request(['GET /things/1 HTTP/1.1']))).status).toBe(200);
  });

  it('logs a client that leaves a hijacked stream', async () => {
    const { port, line } = await listen({}, (app) => {
      app.get('/stream', (incoming, reply) => {
        incoming.wide.communityId = 'c1';
        reply.hijack();
        reply.raw.writeHead(200, { 'content-type': 'text/event-stream' });
        reply.raw.write('data: 1\n\n');
      });
    });
    const socket = connect(port);
    socket.write(request(['GET /stream HTTP/1.1']));
    await once(socket, 'data');
    socket.destroy();
    const logged = await line((entry) => entry.route === '/stream');
    expect(logged).toMatchObject({ status: 200, aborted: true, communityId: 'c1' });
    expect(logged.bytes).toBeGreaterThan(20);
  });

  it.each([
    'text/plain',
    'application/json;a=b,text/plain',
    'application/json, text/plain',
    'application/json;charset=latin1',
    'application/json;charset=utf-8;boundary=x',
    'application/json\t;charset=utf-8',
    'application/ json',
    'application /json',
    'application/jsonp',
    'application/vnd.api+json',
    ';application/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    '*/*',
    '',
  ])('refuses the content type %j with 415', async (contentType) => {
    const { port } = await listen();
    const bytes = request(['POST /echo HTTP/1.1', `Content-Type: ${contentType}`], '{"a":1}');
    expectProblem(await exchange(port, bytes), 415, 'unsupported_media_type');
  });

  it('refuses a body without a content type with 415', async () => {
    const { port } = await listen();
    const bytes = request(['POST /echo HTTP/1.1'], '{"a":1}');
    expectProblem(await exchange(port, bytes), 415, 'unsupported_media_type');
  });

  it('refuses two content types, whichever comes first', async () => {
    const { port } = await listen();
    const lines = ['Content-Type: application/json', 'content-type: text/plain'];
    for (const order of [lines, lines.toReversed()]) {
      const bytes = request(['POST /echo HTTP/1.1', ...order], '{"a":1}');
      expectProblem(await exchange(port, bytes), 415, 'unsupported_media_type');
    }
  });

  it('refuses two Authorization headers', async () => {
    const { port } = await listen();
    const bytes = request(['GET /things/1 HTTP/1.1', 'Authorization: a', 'Authorization: b']);
    const response = await exchange(port, bytes);
    expectProblem(response, 400, 'invalid_request');
    expect(response.body).toContain('header:authorization');
  });

  it.each([
    'application/json',
    'APPLICATION/JSON',
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'application/json; charset="utf-8"',
    '  application/json  ',
  ])('accepts the content type %j', async (contentType) => {
    const { port } = await listen();
    const bytes = request(['POST /echo HTTP/1.1', `Content-Type: ${contentType}`], '{"a":1}');
    expect((await exchange(port, bytes)).status).toBe(200);
  });

  it('refuses two Host headers', async () => {
    const { port } = await listen();
    const response = await exchange(port, request(['GET /things/1 HTTP/1.1', 'Host: other']));
    expectProblem(response, 400, 'invalid_request');
    expect(response.body).toContain('header:host');
  });

  it('refuses an expectation that it does not know, and meets the one it knows', async () => {
    const { port } = await listen();
    const post = (expectation: string): Buffer =>
      request(
        ['POST /echo HTTP/1.1', 'Content-Type: application/json', `Expect: ${expectation}`],
        '{"a":1}',
      );
    const refused = await exchange(port, post('tea'));
    expectProblem(refused, 400, 'invalid_request');
    expect(refused.body).toContain('header:expect');
    const met = await exchange(port, post('100-continue'));
    expect(met.status).toBe(100);
    expect(met.body).toContain('HTTP/1.1 200 OK');
  });

  it('answers CONNECT with 405 and logs it', async () => {
    const { port, line } = await listen();
    const response = await exchange(port, 'CONNECT t:443 HTTP/1.1\r\nHost: t\r\n\r\n');
    expectProblem(response, 405, 'method_not_allowed');
    expect(await line((entry) => entry.route === 'unparsed')).toMatchObject({ status: 405 });
  });

  it('refuses an encoded body, naming the header', async () => {
    const { port } = await listen();
    const lines = ['POST /echo HTTP/1.1', 'Content-Type: application/json'];
    const response = await exchange(port, request([...lines, 'Content-Encoding: gzip'], '{"a":1}'));
    expectProblem(response, 415, 'unsupported_media_type');
    expect(response.body).toContain('header:content-encoding');
    expect(response.headers['accept-encoding']).toBe('identity');
    const plain = request([...lines, 'Content-Encoding: Identity'], '{"a":1}');
    expect((await exchange(port, plain)).status).toBe(200);
  });

  it.each([
    ['a length beside a transfer encoding', 'Content-Length: 5\r\nTransfer-Encoding: chunked'],
    ['two lengths', 'Content-Length: 5\r\nContent-Length: 6'],
    ['a negative length', 'Content-Length: -1'],
    ['a folded header', 'X-A: a\r\n b'],
    ['a blank before the colon', 'X-A : a'],
  ])('says what is wrong with %s', async (_what, lines) => {
    const { port } = await listen();
    const response = await exchange(port, `POST /echo HTTP/1.1\r\nHost: t\r\n${lines}\r\n\r\n`);
    expectProblem(response, 400, 'invalid_request');
    expect(JSON.parse(response.body)).toHaveProperty('detail');
  });

  it('refuses a body that is no UTF-8', async () => {
    const { port } = await listen();
    const body = Buffer.concat([
      Buffer.from('{"a":"'),
      Buffer.from([0xc3, 0x28]),
      Buffer.from('"}'),
    ]);
    const head = request([
      'POST /echo HTTP/1.1',
      'Content-Type: application/json',
      `Content-Length: ${body.length}`,
    ]);
    expectProblem(await exchange(port, Buffer.concat([head, body])), 400, 'invalid_encoding');
  });

  it('refuses a body beyond the bound with 413, declared or not', async () => {
    const { port } = await listen();
    const large = JSON.stringify({ a: 1, b: 'x'.repeat(2000) });
    const declared = request(['POST /echo HTTP/1.1', 'Content-Type: application/json'], large);
    expectProblem(await exchange(port, declared), 413, 'body_too_large');
    const chunked = Buffer.concat([
      request([
        'POST /echo HTTP/1.1',
        'Content-Type: application/json',
        'Transfer-Encoding: chunked',
      ]),
      Buffer.from(`${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`),
    ]);
    expectProblem(await exchange(port, chunked), 413, 'body_too_large');
  });

  it('refuses HTTP/1.1 without a host, naming the header', async () => {
    const { port } = await listen();
    const response = await exchange(port, 'GET /things/1 HTTP/1.1\r\nConnection: close\r\n\r\n');
    expectProblem(response, 400, 'invalid_request');
    expect(response.body).toContain('header:host');
  });

  it('refuses a path that is no URL and a parameter that is too long', async () => {
    const { port, line } = await listen();
    expectProblem(
      await exchange(port, request(['GET /things/%zz HTTP/1.1'])),
      400,
      'invalid_request',
    );
    const long = request([`GET /things/${'x'.repeat(300)} HTTP/1.1`]);
    expectProblem(await exchange(port, long), 414, 'uri_too_long');
    expect(await line((entry) => entry.status === 414)).toMatchObject({ route: 'unmatched' });
  });

  it('finishes what is under way when it closes, and takes nothing new', async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    let entered = (): void => undefined;
    const inside = new Promise<void>((resolve) => (entered = resolve));
    const { app, port } = await listen({}, (instance) => {
      instance.get('/slow', async () => {
        entered();
        await gate;
        return { done: true };
      });
    });
    const answer = exchange(port, 'GET /slow HTTP/1.1\r\nHost: t\r\n\r\n');
    await inside;
    const closed = app.close();
    await expect.poll(() => app.server.listening).toBe(false);
    release();
    expect((await answer).body).toBe('{"done":true}');
    await closed;
  });

  it.each([
    ['has sent nothing', ''],
    ['has sent half a request line', 'GET /thi'],
    ['has sent half its headers', 'GET /things/1 HTTP/1.1\r\nHost: t\r\nX-Half: y'],
  ])('drops at once, when it closes, a connection that %s', async (_what, bytes) => {
    const { app, port } = await listen();
    const accepted = once(app.server, 'connection');
    const socket = connect(port);
    socket.write(bytes);
    const [serverSide] = (await accepted) as [Socket];
    await expect.poll(() => serverSide.bytesRead).toBe(bytes.length);
    const gone = once(socket, 'close');
    await app.close();
    await gone;
  });

  it('drops at once, when it closes, a connection between two requests', async () => {
    const { app, port } = await listen();
    const socket = connect(port);
    socket.write('GET /things/1 HTTP/1.1\r\nHost: t\r\n\r\n');
    await once(socket, 'data');
    const gone = once(socket, 'close');
    await app.close();
    await gone;
  });

  it('drops, when it closes, a connection as soon as its last answer has been sent', async () => {
    const gates: (() => void)[] = [];
    const { app, port } = await listen({}, (instance) => {
      instance.get('/slow', async () => {
        await new Promise<void>((resolve) => gates.push(resolve));
        return 'slow';
      });
    });
    const [first, other] = [connect(port), connect(port)];
    let text = '';
    first.on('data', (chunk: Buffer) => (text += chunk.toString()));
    // Two requests in one go: the second must not be cut off by the end of the first.
    first.write('GET /slow HTTP/1.1\r\nHost: t\r\n\r\n'.repeat(2));
    other.write('GET /slow HTTP/1.1\r\nHost: t\r\n\r\n');
    await expect.poll(() => gates.length).toBe(3);
    const closed = app.close();
    await expect.poll(() => app.server.listening).toBe(false);
    const gone = once(first, 'close');
    const [one, two, three] = gates;
    one?.();
    await expect.poll(() => text.split('slow').length).toBe(2);
    expect(first.destroyed).toBe(false);
    two?.();
    three?.();
    await Promise.all([gone, closed]);
    expect(text.split('HTTP/1.1 200 OK')).toHaveLength(3);
  });

  it('asks clients to go elsewhere while it drains', async () => {
    let draining = false;
    const { port } = await listen({ isDraining: () => draining });
    const url = `http://127.0.0.1:${port}/things/1`;
    expect((await fetch(url)).headers.get('connection')).toBe('keep-alive');
    draining = true;
    expect((await fetch(url)).headers.get('connection')).toBe('close');
  });

  it('advises clients to give an idle connection up long before it does', async () => {
    const { app, port } = await listen();
    const { headers } = await fetch(`http://127.0.0.1:${port}/things/1`);
    expect(headers.get('keep-alive')).toBe('timeout=5');
    expect(app.server.keepAliveTimeout + app.server.keepAliveTimeoutBuffer).toBe(65_000);
  });

  it('answers HEAD as GET without the body', async () => {
    const { port } = await listen();
    const response = await exchange(port, request(['HEAD /things/1 HTTP/1.1']));
    expect(response).toMatchObject({ status: 200, body: '' });
    expect(response.headers['content-length']).toBe('11');
  });
});
