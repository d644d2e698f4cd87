import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { isUnavailable, sqlState } from './errors.ts';
import { createPool } from './pool.ts';

const withCode = (code: string): Error => Object.assign(new Error('x'), { code });

describe('an error of the database', () => {
  it.each(['23505', '40001', '57P01', 'P0001'])('has its SQLSTATE %s', (code) => {
    expect(sqlState(withCode(code))).toBe(code);
  });

  it.each([withCode('ECONNREFUSED'), withCode('EPIPE'), new Error('x'), 'x', undefined])(
    'without one has none: %s',
    (error) => {
      expect(sqlState(error)).toBeUndefined();
    },
  );

  it.each(['08006', '08P01', '53300', '57014', '57P01', '57P03', 'ECONNREFUSED', 'EPIPE'])(
    'says with %s that the database cannot be reached',
    (code) => {
      expect(isUnavailable(withCode(code))).toBe(true);
    },
  );

  it('says so also as the cause of another', () => {
    expect(isUnavailable(new Error('outer', { cause: withCode('57P01') }))).toBe(true);
    const loop = new Error('loop');
    loop.cause = loop;
    expect(isUnavailable(loop)).toBe(false);
  });

  it.each(['23505', '23514', '42P01', '40P01', '28P01', 'XX000', '22P05'])(
    'is a refusal of the statement with %s',
    (code) => {
      expect(isUnavailable(withCode(code))).toBe(false);
    },
  );

  it('is never what our own code got wrong', () => {
    expect(isUnavailable(new TypeError('Connection is not a function'))).toBe(false);
    expect(isUnavailable('ECONNREFUSED')).toBe(false);
  });
});

describe('a pool without a database', () => {
  const pool = (port: number) =>
    createPool({
      url: `postgres://u:p@127.0.0.1:${port}/d`,
      max: 1,
      applicationName: 'test',
      connectTimeoutMs: 200,
      onError: () => undefined,
    });

  it.each(['refuses', 'hangs up', 'says nothing'] as const)(
    'is unavailable when the port %s',
    async (manner) => {
      const server = createServer((socket) => {
        socket.on('error', () => undefined);
        if (manner === 'hangs up') socket.destroy();
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      if (manner === 'refuses') await new Promise((resolve) => server.close(resolve));
      const connections = pool(port);
      const error: unknown = await connections.query('SELECT 1').catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(Error);
      expect(isUnavailable(error)).toBe(true);
      await connections.end();
      server.close();
    },
  );
});
