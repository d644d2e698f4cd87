import { compareAge, isGood, recordOf, type World } from './world.domain.ts';

export type ActiveState =
  | { readonly is: 'usable'; readonly kid: string; readonly since: Date }
  /** The choice was changed by hand, or got lost; the recorded key is still there. */
  | { readonly is: 'strayed'; readonly kid: string }
  /** The recorded key's private half is gone. Replicas may go on signing with it from memory. */
  | { readonly is: 'lost'; readonly kid: string }
  | { readonly is: 'none' };

/** Which key signs, going by the Secret and what was recorded. */
export function findActive(world: World): ActiveState {
  const named = world.secret.active;
  const { activeKid } = world.recorded;
  if (named !== undefined && isGood(world, named.kid) && mayBeActive(world, named.kid)) {
    return { is: 'usable', ...named };
  }
  if (activeKid === undefined) return { is: 'none' };
  return isGood(world, activeKid)
    ? { is: 'strayed', kid: activeKid }
    : { is: 'lost', kid: activeKid };
}

/**
 * Between the switch and its record a crash leaves another name in `active.json` than in the status:
 * that of a key which has just passed its canary. Every other difference is somebody's hand.
 */
function mayBeActive(world: World, kid: string): boolean {
  const { activeKid } = world.recorded;
  if (activeKid === undefined || activeKid === kid) return true;
  const record = recordOf(world, kid);
  if (record === undefined) return false;
  if (record.phase === 'Canary' && record.canaryPassedAt !== undefined) return true;
  // The recorded key can't sign any more, and this one has proved itself before.
  const hasProved = record.canaryPassedAt !== undefined || record.activatedAt !== undefined;
  return !isGood(world, activeKid) && hasProved && record.phase !== 'Retired';
}

const UNFINISHED = new Set(['Publishing', 'Propagating', 'Canary']);

/** The next key, if there is one that has not signed yet: the newest. */
export function findCandidate(world: World, active: ActiveState): string | undefined {
  const activeKid = active.is === 'none' ? undefined : active.kid;
  return world.secret.pems
    .filter(
      ({ kid, isGood: good }) => good && kid !== activeKid && isCandidate(world, kid, activeKid),
    )
    .map(({ kid }) => kid)
    .sort((a, b) => compareAge(b, a) || b.localeCompare(a))[0];
}

function isCandidate(world: World, kid: string, activeKid: string | undefined): boolean {
  const record = recordOf(world, kid);
  if (record !== undefined) return UNFINISHED.has(record.phase);
  return activeKid === undefined || compareAge(kid, activeKid) > 0;
}
