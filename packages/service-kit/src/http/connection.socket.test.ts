import { once } from 'node:events';
import { createConnection, type AddressInfo, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { createLogger } from '../logger.ts';
import { createHttpApp, type HttpAppOptions } from './app.ts';

const running: FastifyInstance[] = [];
const sockets: Socket[] = [];
const lines: Record<string, unknown>[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(running.splice(0).map((app) => app.close()));
  lines.length = 0;
});

async function listen(options: Partial<HttpAppOptions> = {}): Promise<FastifyInstance> {
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const text of chunk.toString('utf8').split('\n').filter(Boolean)) {
        lines.push(JSON.parse(text) as Record<string, unknown>);
      }
      done();
    },
  });
  const app = createHttpApp({
    logger: createLogger({ service: 'test', level: 'info', destination }),
    bodyLimitBytes: 1024,
    requestTimeoutMs: 30_000,
    ...options,
  });
  app.get('/thing', () => ({ ok: true }));
  app.post('/closed', { onRequest: () => Promise.reject(new TypeError('no')) }, () => 'never');
  running.push(app);
  await app.listen({ host: '127.0.0.1', port: 0 });
  return app;
}

interface Connection {
  readonly socket: Socket;
  readonly closed: Promise<unknown>;
  /** The statuses of all answers so far. */
  readonly statuses: () => string[];
}

function connect(app: FastifyInstance): Connection {
  const { port } = app.server.address() as AddressInfo;
  const socket = createConnection({ port, host: '127.0.0.1' });
  sockets.push(socket);
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  return { socket, closed, statuses: () => text.match(/(?<=HTTP\/1\.1 )\d{3}/g) ?? [] };
}

const GET = 'GET /thing HTTP/1.1\r\nHost: t\r\n\r\n';

describe('one connection', () => {
  it('may have ten requests under way', async () => {
    const app = await listen();
    const { socket, statuses } = connect(app);
    socket.write(GET.repeat(10));
    await expect.poll(statuses).toEqual(Array.from({ length: 10 }, () => '200'));
  });

  it('is cut when it has more, without a line in the log for each, and keeps no close waiting', async () => {
    const app = await listen();
    const { socket, closed } = connect(app);
    socket.write(GET.repeat(1_000));
    await closed;
    await expect.poll(() => lines.length).toBeGreaterThan(0);
    await app.close();
    expect(lines.length).toBeLessThan(20);
  });

  it.each([
    ['an answer that didn’t wait for the body', 'GET /thing HTTP/1.1', '200'],
    ['a refusal that didn’t', 'POST /closed HTTP/1.1', '500'],
    ['a path that is none', 'POST /nothing HTTP/1.1', '404'],
  ])('gets no second answer when the body turns out bad after %s', async (_what, line, status) => {
    const app = await listen();
    const { socket, closed, statuses } = connect(app);
    socket.write(`${line}\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`);
    await expect.poll(statuses).toEqual([status]);
    socket.write('ZZ\r\n');
    await closed;
    expect(statuses()).toEqual([status]);
  });

  it('gets no second answer when the body never comes', async () => {
    const app = await listen({ requestTimeoutMs: 100, timeoutCheckIntervalMs: 20 });
    const { socket, closed, statuses } = connect(app);
    socket.write('POST /closed HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc');
    await closed;
    expect(statuses()).toEqual(['500']);
  });

  it('is told of a fault in its next request once the rest of a refused body has come', async () => {
    const app = await listen();
    const { socket, closed, statuses } = connect(app);
    socket.write('POST /closed HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nabc');
    await expect.poll(statuses).toEqual(['500']);
    socket.write('def');
    socket.write('GARBAGE\r\n\r\n');
    await closed;
    expect(statuses()).toEqual(['500', '400']);
  });

  it('ends with an upgrade that nobody takes up, for Node drops what came along', async () => {
    const app = await listen();
    const { socket, closed, statuses } = connect(app);
    const upgrade = 'GET /thing HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n';
    socket.write(upgrade + GET);
    await closed;
    expect(statuses()).toEqual(['200']);
  });

  it('beyond the bound is closed unanswered, and takes nothing from the others', async () => {
    const app = await listen({ maxConnections: 1 });
    const first = connect(app);
    await once(first.socket, 'connect');
    const second = connect(app);
    await second.closed;
    first.socket.write(GET);
    await expect.poll(first.statuses).toEqual(['200']);
  });
});

describe('framing', () => {
  it.each([
    ['a transfer coding beside chunked', 'GET /thing HTTP/1.1', 'Transfer-Encoding: gzip, chunked'],
    ['a version that isn’t ours', 'GET /thing HTTP/2.0', 'X: y'],
    ['no version', 'GET /thing', ''],
    ['a target with a host of its own', 'GET http://other/thing HTTP/1.1', 'X: y'],
    ['such a target on an unknown path', 'GET http://other/nothing HTTP/1.1', 'X: y'],
    ['a host that is none', 'GET /thing HTTP/1.1', 'Host: a@b/c'],
    ['a bad coding and no right to ask', 'POST /closed HTTP/1.1', 'Transfer-Encoding: x, chunked'],
  ])('is refused with 400 and the end of the connection: %s', async (_what, line, header) => {
    const app = await listen();
    const { socket, closed, statuses } = connect(app);
    const host = /^Host|^$/.test(header) ? '' : 'Host: t\r\n';
    socket.write(`${line}\r\n${host}${header === '' ? '' : `${header}\r\n`}\r\n0\r\n\r\n${GET}`);
    await closed;
    expect(statuses()).toEqual(['400']);
  });

  it.each(['t', 't:80', '[::1]:80', 'a-b.c_d', ''])('takes the host %j', async (host) => {
    const app = await listen();
    const { socket, statuses } = connect(app);
    socket.write(`GET /thing HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await expect.poll(statuses).toEqual(['200']);
  });
});
