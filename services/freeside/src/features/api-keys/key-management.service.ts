import { randomBytes } from 'node:crypto';
import { sqlState, withTransaction, type Queryable } from '@arrakis/postgres';
import type { Pool } from 'pg';
import {
  API_KEY_SCOPES,
  MAX_ACTIVE_KEYS_PER_USER,
  decideLimits,
  type ApiKeyScope,
  type ApiKeySummary,
} from './api-key.domain.ts';
import {
  formatApiKey,
  generateApiKey,
  type ApiKeyEnvironment,
  type PresentedKey,
} from './api-key-format.domain.ts';
import { KeyHasher } from './key-hash.ts';
import type { Peppers } from './pepper.domain.ts';
import {
  countActive,
  findCommunity,
  findMembers,
  insertKey,
  listKeys,
  listMembers,
  lockMember,
  revokeKey,
  type Community,
  type KeyFilter,
  type Member,
  type NewKey,
} from './store.ts';

export type KeyRefusalCode =
  /** The platform's operator has switched the making of keys off. */
  | 'feature_disabled'
  | 'community_not_found'
  | 'user_not_found'
  | 'user_ambiguous'
  | 'key_not_found'
  | 'key_revoked'
  | 'too_many_keys'
  | 'invalid_limits'
  | 'invalid_name';

export interface KeyRefusal {
  readonly ok: false;
  readonly code: KeyRefusalCode;
  /** One sentence; safe to show to whoever asked. */
  readonly detail: string;
}

export interface IssuedKey {
  readonly ok: true;
  readonly key: ApiKeySummary;
  /** The key in clear: exists here and nowhere else. Show it once, keep it nowhere. */
  readonly cleartext: string;
}

export interface CreateKeyInput {
  readonly communityId: string;
  readonly userId: string;
  readonly environment: ApiKeyEnvironment;
  /** 1 to 120 characters; what the owner calls it. */
  readonly name: string;
  readonly requestsPerMinute?: number | undefined;
  readonly tokensPerDay?: number | undefined;
  readonly scopes?: readonly ApiKeyScope[] | undefined;
}

/** What an operator may have switched off. */
export interface KeyFlags {
  isEnabled(name: 'FEATURE_API_KEYS_ENABLED'): boolean;
}

/** Whose keys a caller may touch; without it, everybody's. */
export type KeyOwner = Pick<KeyFilter, 'communityId' | 'userId'>;

const MAX_NAME_CHARACTERS = 120;
const UNIQUE_VIOLATION = '23505';
const MAX_PREFIX_COLLISIONS = 3;

/** Creates, lists, rotates and revokes keys. */
export class KeyManagementService {
  readonly #pool: Pool;
  readonly #flags: KeyFlags;
  readonly #hasher: KeyHasher | undefined;

  /** Without `peppers`, keys can be listed and revoked but not made. */
  constructor(pool: Pool, flags: KeyFlags, peppers: Peppers | undefined) {
    this.#pool = pool;
    this.#flags = flags;
    this.#hasher = peppers === undefined ? undefined : new KeyHasher(peppers);
  }

  /**
   * A new key, unless the user has {@link MAX_ACTIVE_KEYS_PER_USER} active ones already; creations
   * of one user are decided one after another, whichever process they come from.
   *
   * Refused with `feature_disabled` while the feature is switched off. Keys that exist go on, and
   * can be rotated: whoever leaked one must be able to replace it.
   */
  create(input: CreateKeyInput): Promise<IssuedKey | KeyRefusal> {
    if (!this.#flags.isEnabled('FEATURE_API_KEYS_ENABLED')) {
      const detail = 'making API keys is switched off for now; keys that exist go on';
      return Promise.resolve(refuse('feature_disabled', detail));
    }
    const name = input.name.trim();
    const length = Array.from(name).length;
    if (length < 1 || length > MAX_NAME_CHARACTERS || hasControlCharacter(name)) {
      const detail = `a name has 1 to ${MAX_NAME_CHARACTERS} characters, none of them a control character`;
      return Promise.resolve(refuse('invalid_name', detail));
    }
    const decision = decideLimits(input.environment, input);
    if (!decision.ok) return Promise.resolve(refuse(decision.code, decision.detail));
    return this.#issue(input.environment, async (tx, key) => {
      if (!(await lockMember(tx, input.communityId, input.userId))) {
        return refuse('user_not_found', 'the community has no such member');
      }
      if ((await countActive(tx, input.userId)) >= MAX_ACTIVE_KEYS_PER_USER) {
        return refuse(
          'too_many_keys',
          `the user has ${MAX_ACTIVE_KEYS_PER_USER} active keys, the most that are allowed: revoke one first`,
        );
      }
      return this.#insert(tx, key, {
        communityId: input.communityId,
        userId: input.userId,
        name,
        scopes: input.scopes ?? API_KEY_SCOPES,
        limits: decision.limits,
      });
    });
  }

  /** Newest first, at most 1,000. */
  list(filter: KeyFilter): Promise<ApiKeySummary[]> {
    return listKeys(this.#pool, filter);
  }

  /**
   * Revokes a key and issues its successor with the same name, scopes and limits, both or neither.
   *
   * @param ref the key's id or prefix.
   */
  async rotate(ref: string, owner: KeyOwner = {}): Promise<IssuedKey | KeyRefusal> {
    const old = await this.#find(ref, owner);
    if (old === undefined) return refuse('key_not_found', NOT_FOUND);
    return this.#issue(old.environment, async (tx, key) => {
      await lockMember(tx, old.communityId, old.userId);
      if (!(await revokeKey(tx, old.keyId))) {
        return refuse('key_revoked', 'the key was revoked before: create a new one instead');
      }
      const { communityId, userId, name, scopes, limits } = old;
      return this.#insert(tx, key, { communityId, userId, name, scopes, limits });
    });
  }

  /**
   * Effective within two seconds on every replica; revoking twice is refused, not an error.
   *
   * @param ref the key's id or prefix.
   */
  async revoke(
    ref: string,
    owner: KeyOwner = {},
  ): Promise<{ readonly ok: true; readonly key: ApiKeySummary } | KeyRefusal> {
    const key = await this.#find(ref, owner);
    if (key === undefined) return refuse('key_not_found', NOT_FOUND);
    if (!(await revokeKey(this.#pool, key.keyId))) {
      return refuse('key_revoked', 'the key was revoked before');
    }
    return { ok: true, key: { ...key, isActive: false } };
  }

  async findCommunity(
    slug: string,
  ): Promise<{ readonly ok: true; readonly community: Community } | KeyRefusal> {
    const community = await findCommunity(this.#pool, slug);
    return community === undefined
      ? refuse('community_not_found', `there is no community ${JSON.stringify(slug)}`)
      : { ok: true, community };
  }

  /** The one member that an id or a whole display name stands for. */
  async findMember(
    community: Community,
    idOrName: string,
  ): Promise<{ readonly ok: true; readonly member: Member } | KeyRefusal> {
    const members = await findMembers(this.#pool, community.communityId, idOrName);
    const [member] = members;
    if (member !== undefined && members.length === 1) return { ok: true, member };
    if (member !== undefined) {
      const detail = `several members are called that; give the id of one: ${describe(members)}`;
      return refuse('user_ambiguous', detail);
    }
    const some = await listMembers(this.#pool, community.communityId);
    const offer = some.length === 0 ? 'it has no members yet' : `members are ${describe(some)}`;
    const detail = `community ${community.slug} has no member ${JSON.stringify(idOrName)}; ${offer}`;
    return refuse('user_not_found', detail);
  }

  async #find(ref: string, owner: KeyOwner): Promise<ApiKeySummary | undefined> {
    return (await listKeys(this.#pool, { ...owner, ref, includeRevoked: true }))[0];
  }

  /** Runs `work` in a transaction with a fresh key, again should its prefix be taken. */
  async #issue(
    environment: ApiKeyEnvironment,
    work: (tx: Queryable, key: PresentedKey) => Promise<ApiKeySummary | KeyRefusal>,
  ): Promise<IssuedKey | KeyRefusal> {
    for (let attempt = 1; ; attempt += 1) {
      const key = generateApiKey(environment, randomBytes);
      try {
        const result = await withTransaction(this.#pool, (tx) => work(tx, key));
        return 'ok' in result ? result : { ok: true, key: result, cleartext: formatApiKey(key) };
      } catch (error) {
        if (sqlState(error) !== UNIQUE_VIOLATION || attempt >= MAX_PREFIX_COLLISIONS) throw error;
      }
    }
  }

  async #insert(
    tx: Queryable,
    key: PresentedKey,
    rest: Omit<NewKey, 'keyPrefix' | 'keyHash' | 'keySalt' | 'pepperVersion'>,
  ): Promise<ApiKeySummary> {
    if (this.#hasher === undefined) throw new TypeError('making a key needs the peppers');
    const { keyPrefix } = key;
    await insertKey(tx, { ...rest, ...this.#hasher.hash(key.secret), keyPrefix });
    const [summary] = await listKeys(tx, { ref: keyPrefix, includeRevoked: false });
    if (summary === undefined) throw new Error('the key just made cannot be read');
    return summary;
  }
}

const NOT_FOUND = 'there is no such key';

function refuse(code: KeyRefusalCode, detail: string): KeyRefusal {
  return { ok: false, code, detail };
}

function describe(members: readonly Member[]): string {
  return members.map((member) => `${member.userName} (${member.userId})`).join(', ');
}

function hasControlCharacter(text: string): boolean {
  return /[\p{Cc}\p{Cs}]/u.test(text);
}
