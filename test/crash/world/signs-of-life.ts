import { get } from 'node:http';
import { createPool } from '@arrakis/postgres';
import type { System, SystemService } from '../../support/system.ts';
import { askRedis } from './redis-command.ts';
import type { Watched } from './starvation.ts';

const ANSWERED_WITHIN_MS = 10_000;

export interface Living {
  readonly system: Pick<System, 'members'>;
  readonly adminUrl: string;
  readonly backends: { readonly redisUrl: string };
}

/**
 * Our processes, and the backends whose silence reaches clients. NATS is none of them: what waits for
 * it waits in a spool, and no failed call is ever excused by it.
 */
export function signsOfLife({ system, adminUrl, backends }: Living): readonly Watched[] {
  return [...system.members.map(serviceSign), postgresSign(adminUrl), redisSign(backends.redisUrl)];
}

function serviceSign({ name, adminUrl }: SystemService): Watched {
  return { name, ask: () => answers(`${adminUrl}/livez`) };
}

export function redisSign(url: string): Watched {
  return { name: 'redis', ask: () => askRedis(url, 'PING') };
}

/** A statement that waits for no lock and reads no table. */
export function postgresSign(url: string): Watched {
  const pool = createPool({
    url,
    max: 1,
    applicationName: 'crash-watch',
    connectTimeoutMs: ANSWERED_WITHIN_MS,
    onError: () => undefined,
  });
  return {
    name: 'postgres',
    ask: () => pool.query('SELECT 1'),
    close: () => pool.end(),
  };
}

function answers(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: ANSWERED_WITHIN_MS }, (response) => {
      response.resume();
      resolve();
    });
    request.on('timeout', () => request.destroy(new Error('silent')));
    request.on('error', reject);
  });
}
