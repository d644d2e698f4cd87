import type { Queryable } from '@arrakis/postgres';
import {
  API_KEY_SCOPES,
  decideLimits,
  type KeyLimits,
} from '../../services/freeside/src/features/api-keys/api-key.domain.ts';
import type { PresentedKey } from '../../services/freeside/src/features/api-keys/api-key-format.domain.ts';
import type { KeyHasher } from '../../services/freeside/src/features/api-keys/key-hash.ts';
import {
  insertKey,
  listKeys,
  revokeKey,
} from '../../services/freeside/src/features/api-keys/store.ts';
import { PlainError } from '../lib/plain-error.ts';

export interface KeyOwner {
  readonly communityId: string;
  readonly memberId: string;
}

/**
 * Takes in a key that exists already: in a cluster the Secret comes first, and a Job that wrote one
 * would need rights at the Kubernetes API.
 *
 * @param limits `{}` for the usual ones
 * @returns false when the key is the community's already
 */
export async function adoptKey(
  tx: Queryable,
  { communityId, memberId }: KeyOwner,
  given: {
    readonly name: string;
    readonly key: PresentedKey;
    readonly limits: Partial<KeyLimits>;
    readonly hasher: KeyHasher;
  },
): Promise<boolean> {
  const { name, key, hasher } = given;
  const owner = { communityId, userId: memberId, includeRevoked: false };
  const active = (await listKeys(tx, owner)).filter((known) => known.name === name);
  if (active.some(({ keyPrefix }) => keyPrefix === key.keyPrefix)) return false;
  // Its Secret was lost: nobody can use it any more.
  for (const { keyId } of active) await revokeKey(tx, keyId);
  const decision = decideLimits(key.environment, given.limits);
  if (!decision.ok) throw new PlainError(decision.detail);
  await insertKey(tx, {
    ...hasher.hash(key.secret),
    keyPrefix: key.keyPrefix,
    communityId,
    userId: memberId,
    name,
    scopes: API_KEY_SCOPES,
    limits: decision.limits,
  });
  return true;
}
