import type { ActiveState } from './active.domain.ts';
import type { Draft } from './draft.domain.ts';
import { MIN_SPARE_MS } from './life.domain.ts';
import { isGood, plusMs, recordOf, rowOf, type World } from './world.domain.ts';

/** Rows of the keys that have to verify now; the candidate's row is its own step. */
export function keepPublished(world: World, draft: Draft, active: ActiveState): boolean {
  const kids = [
    ...(active.is === 'usable' ? [active.kid] : []),
    ...world.secret.pems.map(({ kid }) => kid).filter((kid) => isInOverlap(world, kid, active)),
  ];
  return kids.some((kid) =>
    keepRow(world, draft, kid, active.is === 'usable' && active.kid === kid),
  );
}

function isInOverlap(world: World, kid: string, active: ActiveState): boolean {
  const record = recordOf(world, kid);
  if (active.is !== 'none' && active.kid === kid) return false;
  if (!isGood(world, kid) || record?.phase !== 'Retiring') return false;
  return record.retireAfter === undefined || record.retireAfter > world.now;
}

function keepRow(world: World, draft: Draft, kid: string, isActive: boolean): boolean {
  const row = rowOf(world, kid);
  const expiresAt = draft.fullLife();
  if (row === undefined) {
    draft.tell(
      'Warning',
      'RowRestored',
      `the public half of ${kid} was not published; published it again`,
    );
    return draft.act({ do: 'publish', kid, expiresAt });
  }
  if (!row.fits) {
    draft.tell(
      'Warning',
      'RowRestored',
      `another public half was published as ${kid}; replaced it`,
    );
    return draft.act({ do: 'republish', kid, expiresAt });
  }
  const needed = isActive
    ? plusMs(world.now, MIN_SPARE_MS + world.spec.overlapMs)
    : neededUntil(world, kid);
  return row.expiresAt < needed ? draft.act({ do: 'extend', kid, expiresAt }) : false;
}

/** A key in its overlap must not expire before it is retired; retirement may come late. */
function neededUntil(world: World, kid: string): Date {
  const end = recordOf(world, kid)?.retireAfter ?? plusMs(world.now, world.spec.overlapMs);
  return plusMs(end, world.spec.overlapMs);
}
