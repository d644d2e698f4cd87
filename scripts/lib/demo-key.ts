import { chmodSync } from 'node:fs';
import type { Pool } from 'pg';
import { KeyManagementService } from '../../services/freeside/src/features/api-keys/key-management.service.ts';
import { parsePeppers } from '../../services/freeside/src/features/api-keys/pepper.domain.ts';
import { readIfExists, writeWhole } from './files.ts';
import type { SeededDemo } from './demo.ts';

const KEY_NAME = 'demo key';
const KEY = /^(lf_live_[a-z2-7]{12})_[0-9A-Za-z]{32}$/;

/**
 * The demo community's API key, kept in a file that only its owner reads, because the database
 * holds no key in clear. A key whose file is lost is revoked and replaced.
 *
 * @returns the key, and whether it was made now.
 */
export async function ensureDemoKey(
  pool: Pool,
  demo: SeededDemo,
  init: { file: string; pepper: string },
): Promise<{ key: string; created: boolean }> {
  // Whatever is switched off: this is the developer's own machine.
  const flags = { isEnabled: () => true };
  const keys = new KeyManagementService(pool, flags, parsePeppers(init.pepper));
  const kept = readIfExists(init.file)?.trim() ?? '';
  const prefix = KEY.exec(kept)?.[1];
  const owner = { communityId: demo.communityId, userId: demo.memberId, includeRevoked: false };
  const active = (await keys.list(owner)).filter(({ name }) => name === KEY_NAME);
  if (active.some(({ keyPrefix }) => keyPrefix === prefix)) {
    chmodSync(init.file, 0o600);
    return { key: kept, created: false };
  }
  for (const { keyId } of active) await keys.revoke(keyId);
  const issued = await keys.create({
    communityId: demo.communityId,
    userId: demo.memberId,
    environment: 'live',
    name: KEY_NAME,
  });
  if (!issued.ok) throw new Error(`the demo key could not be made: ${issued.detail}`);
  writeWhole(init.file, `${issued.cleartext}\n`);
  return { key: issued.cleartext, created: true };
}
