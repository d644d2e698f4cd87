import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findFreePort } from '../backends/free-port.ts';
import { ServiceStartError, spawnService } from './spawn-service.ts';
import { waitFor } from './wait-for.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'arrakis-spawn-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function program(source: string): Promise<string> {
  const entry = join(dir, 'main.ts');
  await writeFile(entry, source);
  return entry;
}

const SERVER = `
import { createServer } from 'node:http';
const [port]: string[] = process.argv.slice(2);
console.log(JSON.stringify({ msg: 'up', env: process.env }));
let asked = 0;
createServer((_, response) => response.writeHead(++asked < 3 ? 503 : 200).end()).listen(Number(port), '127.0.0.1');
process.on('SIGTERM', () => { console.log('{"msg":"bye"}'); process.exit(7); });
`;

describe('a spawned service', () => {
  it('runs TypeScript with exactly the environment given, and is ready at the first 200', async () => {
    const port = await findFreePort();
    const service = await spawnService({
      entry: await program(SERVER),
      args: [String(port)],
      env: { ONLY: 'this' },
      readyUrl: `http://127.0.0.1:${port}/readyz`,
    });
    expect(service.logs()[0]).toEqual({ msg: 'up', env: { ONLY: 'this' } });
    expect(await service.stop()).toEqual({ code: 7, signal: null });
    expect(service.logs().at(-1)).toEqual({ msg: 'bye' });
  });

  it('dies at once of SIGKILL', async () => {
    const service = await spawnService({
      entry: await program('setInterval(() => undefined, 1_000);'),
      env: {},
    });
    expect(await service.kill('SIGKILL')).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('is killed when it ignores SIGTERM', async () => {
    const source = `process.on('SIGTERM', () => undefined); console.log('deaf'); setInterval(() => undefined, 1_000);`;
    const service = await spawnService({ entry: await program(source), env: {} });
    await waitFor(() => service.stdout.length === 1);
    expect(await service.stop(50)).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('that ends before it is ready shows what it wrote', async () => {
    const entry = await program(`console.error('PORT is missing'); process.exitCode = 3;`);
    const failure = await spawnService({
      entry,
      env: {},
      readyUrl: 'http://127.0.0.1:9/readyz',
    }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ServiceStartError);
    expect(String(failure)).toContain('PORT is missing');
    expect(String(failure)).toContain('"code":3');
  });
});
