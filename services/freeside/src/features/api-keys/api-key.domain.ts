import type { Tier } from '@arrakis/contracts';
import type { ApiKeyEnvironment } from './api-key-format.domain.ts';

/** Who an API key speaks for; made only after the secret was verified. */
export interface ApiKeyPrincipal {
  readonly keyId: string;
  readonly userId: string;
  readonly communityId: string;
  readonly communityTier: Tier;
  /** `test` keys are sandbox keys: cheap pool only. */
  readonly environment: ApiKeyEnvironment;
  readonly scopes: readonly string[];
}

/** What a key may be used for. */
export const API_KEY_SCOPES = ['inference', 'read'] as const;
export type ApiKeyScope = (typeof API_KEY_SCOPES)[number];

/** Active keys that one user may hold at a time. */
export const MAX_ACTIVE_KEYS_PER_USER = 10;

/** Both limits of a key: requests a minute and tokens a day. */
export interface KeyLimits {
  readonly requestsPerMinute: number;
  readonly tokensPerDay: number;
}

/** Limits of a live key for which nobody asked for others. */
export const DEFAULT_LIVE_LIMITS: KeyLimits = { requestsPerMinute: 60, tokensPerDay: 1_000_000 };
/** A sandbox key gets these; it may be given less, never more. */
export const SANDBOX_LIMITS: KeyLimits = { requestsPerMinute: 10, tokensPerDay: 10_000 };
/** No key goes above these: a typing error must not switch a limit off. */
export const MAX_LIVE_LIMITS: KeyLimits = {
  requestsPerMinute: 100_000,
  tokensPerDay: 1_000_000_000_000,
};

export type LimitsDecision =
  | { readonly ok: true; readonly limits: KeyLimits }
  | { readonly ok: false; readonly code: 'invalid_limits'; readonly detail: string };

/** The limits of a new key: what was asked for, within what its environment allows. */
export function decideLimits(
  environment: ApiKeyEnvironment,
  requested: { readonly [K in keyof KeyLimits]?: KeyLimits[K] | undefined },
): LimitsDecision {
  const sandbox = environment === 'test';
  const defaults = sandbox ? SANDBOX_LIMITS : DEFAULT_LIVE_LIMITS;
  const ceiling = sandbox ? SANDBOX_LIMITS : MAX_LIVE_LIMITS;
  const limits: KeyLimits = {
    requestsPerMinute: requested.requestsPerMinute ?? defaults.requestsPerMinute,
    tokensPerDay: requested.tokensPerDay ?? defaults.tokensPerDay,
  };
  const fault =
    faultOf('requests per minute', limits.requestsPerMinute, ceiling.requestsPerMinute) ??
    faultOf('tokens per day', limits.tokensPerDay, ceiling.tokensPerDay);
  if (fault === undefined) return { ok: true, limits };
  const why = sandbox ? '; the limits of a sandbox key can only be lowered' : '';
  return { ok: false, code: 'invalid_limits', detail: `${fault}${why}` };
}

function faultOf(what: string, value: number, ceiling: number): string | undefined {
  if (Number.isSafeInteger(value) && value >= 1 && value <= ceiling) return undefined;
  return `${what} must be a whole number from 1 to ${ceiling}`;
}

/** A key as its owner may see it: nothing here helps to use it. */
export interface ApiKeySummary {
  readonly keyId: string;
  readonly keyPrefix: string;
  readonly environment: ApiKeyEnvironment;
  readonly name: string;
  readonly userId: string;
  readonly userName: string;
  readonly communityId: string;
  readonly communitySlug: string;
  readonly scopes: readonly string[];
  readonly limits: KeyLimits;
  readonly pepperVersion: number;
  readonly isActive: boolean;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | undefined;
  readonly revokedAt: Date | undefined;
}

/** What verifying one presented secret needs; read from the database and cached briefly. */
export interface ApiKeyRecord {
  readonly principal: ApiKeyPrincipal;
  readonly keyPrefix: string;
  readonly keyHash: Uint8Array;
  readonly keySalt: Uint8Array;
  readonly pepperVersion: number;
  /** Neither the key was revoked nor its community switched off. */
  readonly isActive: boolean;
}
