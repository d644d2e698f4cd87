import { join } from 'node:path';
import { findFreePort, spawnService } from '@arrakis/testkit';
import type { Contestant } from './contestant.ts';

export interface Provider extends Contestant {
  /** With its version: `http://127.0.0.1:20001/v1`. */
  readonly baseUrl: string;
  readonly pid: number;
}

/** The fake vendor that all others ask, and that is asked directly for the floor. */
export async function startProvider(): Promise<Provider> {
  const port = await findFreePort();
  const origin = `http://127.0.0.1:${port}`;
  const service = await spawnService({
    entry: join(import.meta.dirname, '../provider.ts'),
    args: [String(port)],
    env: { NODE_ENV: 'production' },
    readyUrl: `${origin}/v1/models`,
  });
  return {
    name: 'direct',
    baseUrl: `${origin}/v1`,
    pid: service.pid,
    target: { origin, path: '/v1/chat/completions', headers: {}, model: 'bench' },
    processes: {},
    stop: async () => {
      await service.stop();
    },
  };
}
