import type { ActiveState } from './active.domain.ts';
import type { Draft } from './draft.domain.ts';
import { plusMs, rowOf, type World } from './world.domain.ts';

/** A canary older than this says little about the verifiers that run now. */
const CANARY_GOOD_FOR_MS = 10 * 60_000;
/** While caches expire, the key has to stay served; this often that is looked at. */
const SERVED_CHECK_MS = 15_000;

/** Published → served by every replica → wait → canary at every verifier → switch. */
export function advanceCandidate(
  world: World,
  draft: Draft,
  active: ActiveState,
  kid: string,
): boolean {
  const row = rowOf(world, kid);
  draft.noteRequest();
  const expiresAt = draft.fullLife();
  if (row === undefined) {
    draft.set(kid, { phase: 'Publishing', servedAt: undefined, canaryPassedAt: undefined });
    draft.tell('Normal', 'KeyPublished', `published the public half of ${kid}`);
    return draft.act({ do: 'publish', kid, expiresAt });
  }
  // An expired row was not served: what was seen of it counts for nothing, so it begins anew.
  const isSpoilt = !row.fits || row.expiresAt <= world.now;
  if (isSpoilt) return draft.act({ do: 'republish', kid, expiresAt });
  // A life so short is that of a row which was left by somebody else, or by a long pause.
  if (row.expiresAt < plusMs(world.now, 2 * world.spec.overlapMs)) {
    return draft.act({ do: 'extend', kid, expiresAt });
  }
  forgetOlderThan(draft, kid, row.createdAt);
  draft.set(kid, { publishedAt: row.createdAt });
  if (!isServed(world, draft, kid)) return true;
  if (!hasPropagated(world, draft, kid)) return true;
  if (!hasPassedCanary(world, draft, kid)) return true;
  const instead = active.is === 'none' ? '' : ` instead of ${active.kid}`;
  draft.tell('Normal', 'KeyActivated', `${kid} signs from now on${instead}`);
  return draft.act({ do: 'activate', kid, since: world.now });
}

/** What was seen of a row counts for that row only. */
function forgetOlderThan(draft: Draft, kid: string, publishedAt: Date): void {
  const { servedAt } = draft.record(kid);
  if (servedAt !== undefined && servedAt < publishedAt) {
    draft.set(kid, { servedAt: undefined, canaryPassedAt: undefined });
  }
}

/** Asked at each look: a key that is not served any more begins its wait again. */
function isServed(world: World, draft: Draft, kid: string): boolean {
  const { served } = world.seen;
  if (served === undefined) {
    draft.ask({ what: 'served', kid });
    return false;
  }
  if (served.ok) {
    if (draft.record(kid).servedAt === undefined) {
      draft.set(kid, { servedAt: world.now });
      draft.tell(
        'Normal',
        'KeyServed',
        `every replica serves ${kid}; waiting until every cache has it`,
      );
    }
    return true;
  }
  if (served.isDenial && draft.record(kid).servedAt !== undefined) {
    draft.tell('Warning', 'KeyNotServed', `${kid} is not served any more; the wait begins again`);
    draft.set(kid, { servedAt: undefined, canaryPassedAt: undefined });
  }
  draft.set(kid, {
    phase: draft.record(kid).servedAt === undefined ? 'Publishing' : 'Propagating',
  });
  draft.wait('NotServed', served.reason);
  return false;
}

function hasPropagated(world: World, draft: Draft, kid: string): boolean {
  const { servedAt = world.now } = draft.record(kid);
  const wait = Math.max(world.spec.propagationWaitMs, world.minPropagationWaitMs);
  const due = plusMs(servedAt, wait);
  if (due <= world.now) return true;
  draft.set(kid, { phase: 'Propagating', canaryPassedAt: undefined });
  const leftMs = due.getTime() - world.now.getTime();
  draft.wait('Propagating', `caches may be without ${kid} until ${due.toISOString()}`, {
    wakeMs: Math.min(leftMs, SERVED_CHECK_MS),
    isExpected: true,
  });
  return false;
}

/** First noted, then acted upon: a switch without its record would look like somebody's hand. */
function hasPassedCanary(world: World, draft: Draft, kid: string): boolean {
  const { canaryPassedAt } = draft.record(kid);
  draft.set(kid, { phase: 'Canary' });
  const isFresh =
    canaryPassedAt !== undefined && plusMs(canaryPassedAt, CANARY_GOOD_FOR_MS) > world.now;
  if (isFresh && canaryPassedAt <= world.now) return true;
  const { canary } = world.seen;
  if (canary === undefined) {
    draft.ask({ what: 'canary', kid });
    return false;
  }
  if (!canary.ok) {
    draft.set(kid, { canaryPassedAt: undefined });
    draft.wait('CanaryNotPassed', canary.reason);
    return false;
  }
  draft.set(kid, { canaryPassedAt: world.now });
  draft.tell(
    'Normal',
    'CanaryPassed',
    `every verifier accepts tokens of ${kid} and refuses forged ones`,
  );
  draft.wait('Switching', `${kid} is about to sign`, { wakeMs: 0, isExpected: true });
  return false;
}
