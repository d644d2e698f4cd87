import type { ActiveState } from './active.domain.ts';
import type { Draft } from './draft.domain.ts';
import { isGood, isStored, plusMs, rowOf, type World } from './world.domain.ts';

/** Every key but the active one and the next: into its overlap, and out after it. */
export function retireSuperseded(
  world: World,
  draft: Draft,
  active: ActiveState,
  candidate: string | undefined,
): boolean {
  const activeKid = active.is === 'none' ? undefined : active.kid;
  const kids = new Set([
    ...world.secret.pems.map(({ kid }) => kid),
    ...world.recorded.keys.map(({ kid }) => kid),
  ]);
  for (const kid of kids) {
    if (kid === activeKid || kid === candidate) continue;
    if (retireOne(world, draft, active, kid)) return true;
  }
  return forgetExpiredRows(world, draft, activeKid);
}

function retireOne(world: World, draft: Draft, active: ActiveState, kid: string): boolean {
  const record = draft.record(kid);
  const isThere = isStored(world, kid) || rowOf(world, kid) !== undefined;
  if (!isThere) {
    if (record.phase !== 'Retired') {
      draft.set(kid, { phase: 'Retired', retiredAt: world.now });
      draft.tell('Normal', 'KeyRetired', `${kid} is gone: it neither signs nor verifies`);
    }
    return false;
  }
  const retireAfter =
    record.phase === 'Retired' ? world.now : retireAfterOf(world, draft, active, kid);
  draft.set(kid, { phase: 'Retiring', retireAfter });
  if (retireAfter === undefined) return false;
  if (retireAfter > world.now) {
    draft.wakeAt(retireAfter);
    return false;
  }
  return retireWhenUnused(world, draft, kid);
}

/** The overlap counts from the moment every replica was seen to sign with another key. */
function retireAfterOf(
  world: World,
  draft: Draft,
  active: ActiveState,
  kid: string,
): Date | undefined {
  const record = draft.record(kid);
  if (record.retireAfter !== undefined) return record.retireAfter;
  if (!mayHaveSigned(world, draft, kid)) return world.now;
  const seen = active.is === 'usable' ? draft.record(active.kid).activatedAt : undefined;
  if (seen === undefined) return undefined;
  // Replaced only now, by whatever way, although the other was seen long ago.
  const isNew = record.phase !== 'Retiring' && seen < world.now;
  return plusMs(isNew ? world.now : seen, world.spec.overlapMs);
}

/** A key that never came as far as its canary has never been named as active by us. */
function mayHaveSigned(world: World, draft: Draft, kid: string): boolean {
  const record = draft.record(kid);
  if (record.activatedAt !== undefined || record.canaryPassedAt !== undefined) return true;
  if (record.phase === 'Active' || record.phase === 'Retiring') return true;
  if (record.isNew) return isGood(world, kid);
  return false;
}

function retireWhenUnused(world: World, draft: Draft, kid: string): boolean {
  const { signers } = world.seen;
  if (signers === undefined) return draft.ask({ what: 'signers' });
  if (signers.kids.includes(kid)) {
    draft.wait('SignerStillUses', `a replica signs with ${kid} still; it is not retired yet`);
    return false;
  }
  if (signers.unclear !== undefined || signers.replicas === 0) {
    draft.wait(
      'SignersUnclear',
      signers.unclear ?? `no replica is ready to say that it does not sign with ${kid}`,
    );
    return false;
  }
  return draft.act({ do: 'retire', kid });
}

/** Rows of keys that nobody here knows: left until they verify nothing, then removed. */
function forgetExpiredRows(world: World, draft: Draft, activeKid: string | undefined): boolean {
  const stale = world.rows.find(
    ({ kid, expiresAt }) => kid !== activeKid && !isStored(world, kid) && expiresAt <= world.now,
  );
  return stale === undefined ? false : draft.act({ do: 'forget-row', kid: stale.kid });
}
