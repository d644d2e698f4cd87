import { KEY_OVERLAP_SECONDS, KEY_PROPAGATION_SECONDS } from '@arrakis/contracts';
import { kidCreatedAtSeconds } from '@arrakis/signing-keys/kid.domain.ts';

/**
 * The rules by which signing keys come and go, without any I/O: scripts and a controller read the
 * world, ask here what to do, and do it.
 *
 * A key is published (verifiers may learn it), waits until every cache has it, proves itself with a
 * canary, becomes active (signs), is superseded by the next one, stays published for the overlap,
 * and is removed.
 */

/** How long a key is published when it is made. */
export const KEY_LIFE_SECONDS = 90 * 24 * 60 * 60;
/** An active key this close to its expiry should have been replaced already. */
export const ROTATE_BEFORE_EXPIRY_SECONDS = 14 * 24 * 60 * 60;

export interface PublishedLife {
  readonly kid: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** Everything that decides what happens next. */
export interface KeyState {
  readonly now: Date;
  readonly active: { readonly kid: string; readonly since: Date } | undefined;
  /** Kids whose private key is at hand. */
  readonly storedKids: readonly string[];
  /** Public halves of this issuer, expired ones included. */
  readonly published: readonly PublishedLife[];
}

export type KeyStatus =
  /** Signs. */
  | 'active'
  /** Newer than the active key and not switched to: a rotation was interrupted. */
  | 'pending'
  /** Replaced; verifies until it expires. */
  | 'superseded'
  /** Verifies nothing any more. */
  | 'expired'
  /** Signs, but its public half isn't published: every token is refused. */
  | 'active_unpublished';

export interface KeyInventoryEntry {
  readonly kid: string;
  readonly status: KeyStatus;
  readonly isStored: boolean;
  readonly createdAt: Date | undefined;
  readonly expiresAt: Date | undefined;
}

/** Every key that is stored or published, newest first. */
export function inventory(state: KeyState): KeyInventoryEntry[] {
  const kids = new Set([
    ...state.storedKids,
    ...state.published.map((key) => key.kid),
    ...(state.active === undefined ? [] : [state.active.kid]),
  ]);
  return [...kids]
    .sort((a, b) => compareAge(state, b, a) || a.localeCompare(b))
    .map((kid) => {
      const life = lifeOf(state, kid);
      return {
        kid,
        status: statusOf(state, kid, life),
        isStored: state.storedKids.includes(kid),
        createdAt: life?.createdAt,
        expiresAt: life?.expiresAt,
      };
    });
}

function statusOf(state: KeyState, kid: string, life: PublishedLife | undefined): KeyStatus {
  const isPublished = life !== undefined && life.expiresAt > state.now;
  if (state.active?.kid === kid) return isPublished ? 'active' : 'active_unpublished';
  if (isNewerThanActive(state, kid) && (life === undefined || isPublished)) return 'pending';
  return isPublished ? 'superseded' : 'expired';
}

export type BootstrapPlan =
  /** A key is active and published. */
  | { readonly action: 'none'; readonly kid: string }
  /** Its public half is missing, as after a fresh database: publish it again. */
  | { readonly action: 'publish'; readonly kid: string }
  /** A key was made but never activated. */
  | { readonly action: 'activate'; readonly kid: string }
  | { readonly action: 'create' };

/** Whatever it takes for one published key to be active, without waiting for anybody. */
export function planBootstrap(state: KeyState): BootstrapPlan {
  const { active } = state;
  if (active !== undefined && state.storedKids.includes(active.kid)) {
    const life = lifeOf(state, active.kid);
    if (life === undefined) return { action: 'publish', kid: active.kid };
    if (life.expiresAt > state.now) return { action: 'none', kid: active.kid };
    return { action: 'create' };
  }
  const usable = active === undefined ? newest(state, () => true) : undefined;
  return usable === undefined ? { action: 'create' } : { action: 'activate', kid: usable };
}

export type RotationPlan =
  | { readonly action: 'refuse'; readonly reason: string }
  /** An earlier rotation made this key and did not get as far as the switch. */
  | { readonly action: 'resume'; readonly oldKid: string; readonly newKid: string }
  | { readonly action: 'create'; readonly oldKid: string };

/** Which key comes next. */
export function planRotation(state: KeyState): RotationPlan {
  const { active } = state;
  if (active === undefined) {
    return { action: 'refuse', reason: 'no key is active yet: run bootstrap first' };
  }
  const status = statusOf(state, active.kid, lifeOf(state, active.kid));
  // Its private half isn't asked for: a process may hold it in memory only, and is then relieved.
  if (status !== 'active') {
    const reason = `the active key ${active.kid} is not published any more: run bootstrap first`;
    return { action: 'refuse', reason };
  }
  // One that is about to expire is no successor.
  const lastsAt = new Date(state.now.getTime() + KEY_OVERLAP_SECONDS * 1000);
  const pending = newest(state, (kid, life) => {
    return isNewerThanActive(state, kid) && (life === undefined || life.expiresAt > lastsAt);
  });
  if (pending !== undefined) return { action: 'resume', oldKid: active.kid, newKid: pending };
  // A clock was put back: the new key would be named as the older of the two, and taken for replaced.
  const madeAtMs = madeAtSeconds(state, active.kid) * 1000;
  if (madeAtMs > state.now.getTime()) {
    const reason = `the active key ${active.kid} was made later than it is now by this clock: set the clock right, or wait until ${new Date(madeAtMs).toISOString()}`;
    return { action: 'refuse', reason };
  }
  return { action: 'create', oldKid: active.kid };
}

export interface RetirementPlan {
  /** Superseded keys that are published for longer than the overlap asks. */
  readonly limit: readonly { readonly kid: string; readonly expiresAt: Date }[];
  /** Keys whose overlap is over: private file and public row go. */
  readonly remove: readonly string[];
}

/** What is due for the keys that the active one replaced. Pending keys are left alone. */
export function planRetirement(state: KeyState): RetirementPlan {
  if (state.active === undefined) return { limit: [], remove: [] };
  const overlapEnd = overlapEndOf(state.active.since, state.now);
  const others = inventory(state).filter(({ kid }) => kid !== state.active?.kid);
  return {
    limit: others
      .filter(({ status, expiresAt }) => {
        return status === 'superseded' && expiresAt !== undefined && expiresAt > overlapEnd;
      })
      .map(({ kid }) => ({ kid, expiresAt: overlapEnd })),
    remove: others.filter(({ status }) => status === 'expired').map(({ kid }) => kid),
  };
}

/** When a key that was replaced at `since` stops verifying; now, if that time has passed. */
export function overlapEndOf(since: Date, now: Date): Date {
  return new Date(Math.max(since.getTime() + KEY_OVERLAP_SECONDS * 1000, now.getTime()));
}

export type WaitDecision =
  | { readonly ok: true; readonly waitSeconds: number }
  | { readonly ok: false; readonly reason: string };

/** The wait between publishing and signing: long enough for every cache, unless it is a test. */
export function decideWait(
  requestedSeconds: number | undefined,
  allowShortWait: boolean,
): WaitDecision {
  const waitSeconds = requestedSeconds ?? KEY_PROPAGATION_SECONDS;
  if (!Number.isSafeInteger(waitSeconds) || waitSeconds < 0) {
    return { ok: false, reason: 'the wait is a whole number of seconds' };
  }
  if (waitSeconds >= KEY_PROPAGATION_SECONDS || allowShortWait) return { ok: true, waitSeconds };
  const reason = `the wait must be at least ${KEY_PROPAGATION_SECONDS} seconds: verifiers cache the key set for 300`;
  return { ok: false, reason };
}

function lifeOf(state: KeyState, kid: string): PublishedLife | undefined {
  return state.published.find((key) => key.kid === kid);
}

/** Newest stored key, other than the active one, that `accepts` and that hasn't expired. */
function newest(
  state: KeyState,
  accepts: (kid: string, life: PublishedLife | undefined) => boolean,
): string | undefined {
  return state.storedKids
    .filter((kid) => kid !== state.active?.kid)
    .filter((kid) => {
      const life = lifeOf(state, kid);
      return (life === undefined || life.expiresAt > state.now) && accepts(kid, life);
    })
    .sort((a, b) => compareAge(state, b, a))[0];
}

function isNewerThanActive(state: KeyState, kid: string): boolean {
  return state.active !== undefined && compareAge(state, kid, state.active.kid) > 0;
}

/**
 * Above 0 when `a` is the newer key. A name tells the second, even when no row does; within one
 * second the rows' order decides, and a key without a row is the newest: it was never published.
 */
function compareAge(state: KeyState, a: string, b: string): number {
  return (
    madeAtSeconds(state, a) - madeAtSeconds(state, b) ||
    publishedAt(state, a) - publishedAt(state, b) ||
    0
  );
}

function madeAtSeconds(state: KeyState, kid: string): number {
  return kidCreatedAtSeconds(kid) ?? (lifeOf(state, kid)?.createdAt.getTime() ?? 0) / 1000;
}

function publishedAt(state: KeyState, kid: string): number {
  return lifeOf(state, kid)?.createdAt.getTime() ?? Number.MAX_SAFE_INTEGER;
}
