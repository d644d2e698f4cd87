import { createFlags, type Flags, type FlagsOptions } from '@arrakis/flags';
import type { Logger } from '@arrakis/service-kit';
import type { FreesideConfig } from './config/config.ts';
import type { FreesideSecrets } from './config/secrets.ts';

/** The flags of one role; they are known, or their sources away, when this resolves. */
export async function startFlags(
  clientName: string,
  config: FreesideConfig,
  secrets: FreesideSecrets,
  to: { readonly registry: FlagsOptions['registry']; readonly logger: Logger },
): Promise<Flags> {
  const flags = createFlags({
    natsUrl: secrets.natsUrl?.reveal(),
    dir: config.flagsDir,
    clientName,
    registry: to.registry,
    log: to.logger,
  });
  await flags.start();
  return flags;
}
