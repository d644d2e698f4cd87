import { createFlags, type Flags } from '@arrakis/flags';
import { createRegistry } from '@arrakis/service-kit';
import { optionalEnv, optionalSecretEnv } from './env.ts';

const QUIET = { info: () => undefined, warn: () => undefined };

/** The flags as the services see them, for one command. Says so when they can't be known. */
export async function withFlags<T>(work: (flags: Flags) => Promise<T>): Promise<T> {
  const flags = createFlags({
    natsUrl: optionalSecretEnv('NATS_URL'),
    dir: optionalEnv('FLAGS_DIR'),
    clientName: 'script',
    registry: createRegistry('script'),
    log: QUIET,
  });
  await flags.start();
  try {
    const { kv, source } = flags.snapshot();
    if (kv === 'away' && source === 'default') {
      process.stderr.write('NATS is away: what is switched off is not known, all counts as on.\n');
    }
    return await work(flags);
  } finally {
    await flags.close();
  }
}
