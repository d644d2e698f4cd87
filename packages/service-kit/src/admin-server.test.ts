import { afterEach, describe, expect, it } from 'vitest';
import { startAdminServer, type AdminServer, type AdminServerOptions } from './admin-server.ts';
import { createLogger } from './logger.ts';
import { createRegistry } from './registry.ts';

const servers: AdminServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function start(overrides: Partial<AdminServerOptions> = {}) {
  const server = await startAdminServer({
    host: '127.0.0.1',
    port: 0,
    registry: createRegistry('svc'),
    checks: {},
    isDraining: () => false,
    logger: createLogger({ service: 'svc', level: 'silent' }),
    cacheMs: 0,
    ...overrides,
  });
  servers.push(server);
  return async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return { status: response.status, text: await response.text(), headers: response.headers };
  };
}

describe('the admin server', () => {
  it('is alive whatever its dependencies do', async () => {
    const get = await start({ checks: { db: () => Promise.reject(new Error('down')) } });
    expect((await get('/livez')).status).toBe(200);
  });

  it('is ready when every check passes', async () => {
    const get = await start({
      checks: { db: () => Promise.resolve(), redis: () => Promise.resolve() },
    });
    expect(await get('/readyz')).toMatchObject({
      status: 200,
      text: '{"status":"ready","checks":{"db":"ok","redis":"ok"}}',
    });
  });

  it('tells which check failed or hung, and not why', async () => {
    const get = await start({
      checkTimeoutMs: 20,
      checks: {
        db: () => Promise.reject(new Error('planted')),
        nats: () => new Promise(() => undefined),
        broken: () => {
          throw new Error('planted');
        },
        redis: () => Promise.resolve(),
      },
    });
    const { status, text } = await get('/readyz');
    expect(status).toBe(503);
    expect(JSON.parse(text)).toEqual({
      status: 'not_ready',
      checks: { db: 'failed', nats: 'timeout', broken: 'failed', redis: 'ok' },
    });
  });

  it('logs why a check failed', async () => {
    let log = '';
    const destination = { write: (text: string) => (log += text) };
    const get = await start({
      logger: createLogger({ service: 'svc', level: 'info', destination }),
      checks: { db: () => Promise.reject(new Error('connection refused')) },
    });
    await get('/readyz');
    expect(JSON.parse(log)).toMatchObject({
      check: 'db',
      err: { message: 'connection refused' },
    });
  });

  it('is not ready while it drains', async () => {
    const get = await start({ isDraining: () => true });
    expect(await get('/readyz')).toMatchObject({ status: 503 });
    expect((await get('/livez')).status).toBe(200);
  });

  it('runs the checks once for callers that come while they run', async () => {
    let runs = 0;
    let entered = (): void => undefined;
    const running = new Promise<void>((resolve) => (entered = resolve));
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const get = await start({
      cacheMs: 0,
      checks: {
        db: () => {
          runs += 1;
          entered();
          return gate;
        },
      },
    });
    const first = get('/readyz');
    await running;
    const second = get('/readyz');
    // Sent after the second, so the server has seen that one when it answers this.
    await get('/livez');
    release();
    expect([(await first).status, (await second).status, runs]).toEqual([200, 200, 1]);
  });

  it('reuses an outcome until it is stale', async () => {
    let runs = 0;
    const check = (): Promise<void> => {
      runs += 1;
      return Promise.resolve();
    };
    const cached = await start({ cacheMs: 60_000, checks: { db: check } });
    await cached('/readyz');
    await cached('/readyz');
    expect(runs).toBe(1);
    const fresh = await start({ cacheMs: 0, checks: { db: check } });
    await fresh('/readyz');
    await fresh('/readyz');
    expect(runs).toBe(3);
  });

  it('sees a dependency come back', async () => {
    let up = false;
    const get = await start({
      checks: { db: () => (up ? Promise.resolve() : Promise.reject(new Error('down'))) },
    });
    expect((await get('/readyz')).status).toBe(503);
    up = true;
    expect((await get('/readyz')).status).toBe(200);
  });

  it('serves metrics with the service as label', async () => {
    const get = await start();
    const { status, text, headers } = await get('/metrics');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toContain('text/plain');
    expect(text).toMatch(/nodejs_eventloop_lag_p99_seconds\{service="svc"\}/);
  });

  it('answers what the process tells besides, anew each time', async () => {
    let asked = 0;
    const get = await start({
      routes: {
        '/flags': () => ({ asked: (asked += 1) }),
        '/broken': () => {
          throw new Error('planted');
        },
      },
    });
    expect((await get('/flags')).text).toBe('{"asked":1}');
    const { status, text, headers } = await get('/flags?x=1');
    expect([status, text]).toEqual([200, '{"asked":2}']);
    expect(headers.get('content-type')).toBe('application/json');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(await get('/broken')).toMatchObject({ status: 500, text: '{"status":"error"}' });
    expect((await get('/flags', 'POST')).status).toBe(405);
    for (const path of ['/toString', '/flags/', '/']) expect((await get(path)).status).toBe(404);
    expect((await get('/livez')).status).toBe(200);
  });

  it('has nothing else', async () => {
    const get = await start();
    expect((await get('/health?x=1')).status).toBe(404);
    expect((await get('/livez', 'POST')).status).toBe(405);
    expect((await get('/livez?probe=1')).status).toBe(200);
  });

  it('fails to start on a port in use', async () => {
    const blocker = await startAdminServer({
      host: '127.0.0.1',
      port: 0,
      registry: createRegistry('svc'),
      checks: {},
      isDraining: () => false,
      logger: createLogger({ service: 'svc', level: 'silent' }),
    });
    servers.push(blocker);
    await expect(start({ port: blocker.port })).rejects.toThrow(/EADDRINUSE/);
  });
});
