import { randomUUID } from 'node:crypto';
import { createPool } from '@arrakis/postgres';
import type { Account } from './protocol.ts';

/** A rich community with a key that has no limits to speak of. `url` as the owner of the tables. */
export async function openAccount(url: string): Promise<Account> {
  const owner = createPool({ url, max: 1, applicationName: 'bench', onError: () => undefined });
  const [communityId, member, apiKeyId] = [randomUUID(), randomUUID(), randomUUID()];
  try {
    await owner.query(
      `INSERT INTO freeside.communities (id, slug, name, tier) VALUES ($1, 'bench', 'Bench', 'pro')`,
      [communityId],
    );
    await owner.query(
      `INSERT INTO freeside.community_members (id, community_id, display_name) VALUES ($1, $2, 'b')`,
      [member, communityId],
    );
    await owner.query(
      `INSERT INTO freeside.api_keys (id, user_id, community_id, key_prefix, key_hash, key_salt,
         pepper_version, name, rate_limit_rpm, rate_limit_tpd)
       VALUES ($1, $2, $3, 'lf_live_aaaaaaaaaaaa', $4, $5, 1, 'b', 2000000000, 9000000000000000)`,
      [apiKeyId, member, communityId, Buffer.alloc(32), Buffer.alloc(16)],
    );
    await owner.query(`SELECT freeside.mint_lot($1, 1000000000000000, 'grant', 'bench', NULL)`, [
      communityId,
    ]);
  } finally {
    await owner.end();
  }
  return { communityId, apiKeyId };
}
