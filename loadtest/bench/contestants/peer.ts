import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { findFreePort, spawnService } from '@arrakis/testkit';
import type { Contestant } from './contestant.ts';

const MANIFESTS = resolve(import.meta.dirname, '../../peer');
/** Outside of the sources, so that no tool takes the peer's for ours. */
const INSTALLED = resolve(import.meta.dirname, '../../../.arrakis/bench/peer');
const ENTRY = join(INSTALLED, 'node_modules/@portkey-ai/gateway/build/start-server.js');
const FILES = ['package.json', 'package-lock.json'] as const;

/** Fetches the peer exactly as locked, unless it is there already. Its install scripts don't run. */
export async function installPeer(): Promise<void> {
  if (await isInstalled()) return;
  await mkdir(INSTALLED, { recursive: true });
  for (const file of FILES) await copyFile(join(MANIFESTS, file), join(INSTALLED, file));
  await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: INSTALLED,
  });
}

async function isInstalled(): Promise<boolean> {
  const read = (dir: string): Promise<string> =>
    readFile(join(dir, 'package-lock.json'), 'utf8').catch(() => '');
  const [wanted, found] = await Promise.all([read(MANIFESTS), read(INSTALLED)]);
  // npm writes this file when it has finished.
  const marker = join(INSTALLED, 'node_modules/.package-lock.json');
  return wanted === found && (await readFile(marker).catch(() => undefined)) !== undefined;
}

export async function peerVersion(): Promise<string> {
  const manifest = join(dirname(ENTRY), '../package.json');
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string };
  return version;
}

export interface StartedPeer {
  readonly port: number;
  readonly pid: number;
  readonly startMs: number;
  stop(): Promise<void>;
}

export async function spawnPeer(): Promise<StartedPeer> {
  const port = await findFreePort();
  const beganMs = performance.now();
  const service = await spawnService({
    entry: ENTRY,
    args: ['--headless', `--port=${port}`],
    env: { NODE_ENV: 'production' },
    readyUrl: `http://127.0.0.1:${port}/`,
    output: 'ignore',
  });
  return {
    port,
    pid: service.pid,
    startMs: performance.now() - beganMs,
    stop: async () => {
      await service.stop(1_000);
    },
  };
}

/** Portkey's gateway, which meters nothing: it finds the provider in two headers of each request. */
export async function startPeer(providerBaseUrl: string): Promise<Contestant> {
  await installPeer();
  const peer = await spawnPeer();
  return {
    name: 'portkey',
    target: {
      origin: `http://127.0.0.1:${peer.port}`,
      path: '/v1/chat/completions',
      headers: {
        authorization: 'Bearer sk-bench',
        'x-portkey-provider': 'openai',
        'x-portkey-custom-host': providerBaseUrl,
      },
      model: 'bench',
    },
    processes: { gateway: peer.pid },
    stop: () => peer.stop(),
  };
}
