import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { arrive } from '../lib/arrivals.ts';
import { plainAnswer } from '../provider/answers.ts';
import { runLoad } from './loads.ts';

const marks = { begin: () => Promise.resolve(), end: () => Promise.resolve() };
let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** @param status of the n-th answer, from 0 */
async function serve(status: (n: number) => number): Promise<string> {
  let answered = 0;
  server = createServer((request, response) => {
    request.resume();
    response.writeHead(status(answered)).end(plainAnswer(4));
    answered += 1;
  });
  await new Promise<void>((done) => server?.listen(0, '127.0.0.1', done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function load(origin: string) {
  return {
    target: { origin, path: '/', headers: {}, model: 'm' },
    stream: false,
    tokens: 4,
    paceMs: 0,
    delayMs: [0, 0],
    warmUpMs: 10,
    durationMs: 100,
  } as const;
}

describe('a load', () => {
  it('counts what was answered while it was measured', async () => {
    const origin = await serve(() => 200);
    const result = await runLoad({ kind: 'open', perSecond: 100, ...load(origin) }, marks);
    expect(result.requests).toBe(10);
    expect(result.latency.count).toBe(10);
  });

  it.each([{ kind: 'closed', connections: 2 } as const, { kind: 'open', perSecond: 100 } as const])(
    'is void from the first answer that is not 200 ($kind loop)',
    async (shape) => {
      const origin = await serve((n) => (n === 5 ? 429 : 200));
      await expect(runLoad({ ...shape, ...load(origin) }, marks)).rejects.toThrow('answered 429');
    },
  );
});

describe('an open loop', () => {
  it('starts each call when it is due, whatever became of those before', async () => {
    const { promise: never, resolve: release } = Promise.withResolvers<undefined>();
    const due: number[] = [];
    const all = arrive(200, 50, (intendedMs) => {
      due.push(intendedMs);
      if (due.length === 10) release(undefined);
      return never;
    });
    await all;
    const distances = due.map((at, index) => at - (due[0] ?? 0) - index * 5);
    expect(due).toHaveLength(10);
    // Never later than due, however late the timer was: a late start is part of the latency.
    expect(Math.max(...distances)).toBeLessThan(0.001);
  });
});
