import { KEY_PROPAGATION_SECONDS } from '@arrakis/contracts';
import { makeKid } from '@arrakis/signing-keys/kid.domain.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decideWait,
  inventory,
  planBootstrap,
  planRetirement,
  planRotation,
  type KeyState,
  type PublishedLife,
} from './key-rotation.domain.ts';

const NOW = new Date('2026-11-22T12:00:00Z');
const DAY_MS = 24 * 60 * 60 * 1000;
const day = (days: number): Date => new Date(NOW.getTime() + days * DAY_MS);
/** The kid of a key made so many days ago. */
const aged = (days: number): string => makeKid(day(-days), '0123456789abcdef');
const life = (kid: string, from: number, to: number): PublishedLife => ({
  kid,
  createdAt: day(from),
  expiresAt: day(to),
});

const OLD = aged(60);
const CURRENT = aged(30);
const NEXT = aged(0);

function state(change: Partial<KeyState> = {}): KeyState {
  return {
    now: NOW,
    active: { kid: CURRENT, since: day(-30) },
    storedKids: [CURRENT],
    published: [life(CURRENT, -30, 60)],
    ...change,
  };
}

describe('bootstrap', () => {
  it('does nothing when a key is active and published', () => {
    expect(planBootstrap(state())).toEqual({ action: 'none', kid: CURRENT });
  });

  it('makes the first key', () => {
    const empty = { active: undefined, storedKids: [], published: [] };
    expect(planBootstrap(state(empty))).toEqual({ action: 'create' });
  });

  it('publishes the active key again after the database was emptied', () => {
    expect(planBootstrap(state({ published: [] }))).toEqual({ action: 'publish', kid: CURRENT });
  });

  it.each([
    ['was made but not published', []],
    ['was published but not activated', [life(CURRENT, -1, 60)]],
  ])('activates a key that %s', (_, published) => {
    expect(planBootstrap(state({ active: undefined, published }))).toEqual({
      action: 'activate',
      kid: CURRENT,
    });
  });

  it('makes a new key when the active one has expired, or its private file is gone', () => {
    const expired = state({ published: [life(CURRENT, -120, -30)] });
    expect(planBootstrap(expired)).toEqual({ action: 'create' });
    expect(planBootstrap(state({ storedKids: [] }))).toEqual({ action: 'create' });
  });

  it('never activates an expired key', () => {
    const left = { active: undefined, published: [life(CURRENT, -120, -30)] };
    expect(planBootstrap(state(left))).toEqual({ action: 'create' });
  });
});

describe('a rotation', () => {
  it('makes a new key', () => {
    expect(planRotation(state())).toEqual({ action: 'create', oldKid: CURRENT });
  });

  it.each([
    ['published', [life(CURRENT, -30, 60), life(NEXT, 0, 90)]],
    ['not even published', [life(CURRENT, -30, 60)]],
  ])('goes on with the key of an interrupted one that was %s', (_, published) => {
    expect(planRotation(state({ storedKids: [CURRENT, NEXT], published }))).toEqual({
      action: 'resume',
      oldKid: CURRENT,
      newKid: NEXT,
    });
  });

  it('replaces a key whose private file is gone', () => {
    expect(planRotation(state({ storedKids: [] }))).toEqual({ action: 'create', oldKid: CURRENT });
  });

  it('never goes back to a key that was replaced', () => {
    const superseded = state({
      storedKids: [OLD, CURRENT],
      published: [life(OLD, -60, 0.5), life(CURRENT, -30, 60)],
    });
    expect(planRotation(superseded)).toEqual({ action: 'create', oldKid: CURRENT });
    const forgotten = state({ storedKids: [OLD, CURRENT] });
    expect(planRotation(forgotten)).toEqual({ action: 'create', oldKid: CURRENT });
  });

  it('takes no successor that is about to expire itself', () => {
    const stale = state({
      active: { kid: OLD, since: day(-60) },
      storedKids: [OLD, CURRENT],
      published: [life(OLD, -60, 30), life(CURRENT, -30, 0.9)],
    });
    expect(planRotation(stale)).toEqual({ action: 'create', oldKid: OLD });
  });

  it.each([
    ['nothing is active', { active: undefined }],
    ['the active key is not published', { published: [] }],
    ['the active key has expired', { published: [life(CURRENT, -120, -1)] }],
  ])('is refused when %s', (_, change) => {
    expect(planRotation(state(change)).action).toBe('refuse');
  });

  it('waits for a clock that was put back: its key would pass for the older one', () => {
    const back = new Date(NOW.getTime() - 1);
    const made = { active: { kid: NEXT, since: NOW }, published: [life(NEXT, 0, 90)] };
    expect(planRotation(state({ ...made, now: back }))).toMatchObject({
      action: 'refuse',
      reason: expect.stringContaining(NOW.toISOString()) as string,
    });
    // Within the same second the rows tell which is newer.
    expect(planRotation(state(made))).toEqual({ action: 'create', oldKid: NEXT });
    // One that was made before goes on: it has its name.
    const next = makeKid(day(1), 'fedcba9876543210');
    expect(planRotation(state({ ...made, now: back, storedKids: [NEXT, next] }))).toEqual({
      action: 'resume',
      oldKid: NEXT,
      newKid: next,
    });
  });
});

describe('retirement', () => {
  it('ends the overlap of a replaced key 24 hours after the switch', () => {
    const just = state({
      active: { kid: NEXT, since: NOW },
      storedKids: [CURRENT, NEXT],
      published: [life(CURRENT, -30, 60), life(NEXT, 0, 90)],
    });
    expect(planRetirement(just)).toEqual({
      limit: [{ kid: CURRENT, expiresAt: day(1) }],
      remove: [],
    });
  });

  it('ends it now when that time has passed unnoticed', () => {
    const late = state({
      active: { kid: NEXT, since: day(-3) },
      storedKids: [NEXT],
      published: [life(CURRENT, -30, 60), life(NEXT, -3, 90)],
    });
    expect(planRetirement(late).limit).toEqual([{ kid: CURRENT, expiresAt: NOW }]);
  });

  it('removes what has expired: row, private file, or what is left of either', () => {
    const expired = state({
      storedKids: [OLD, CURRENT],
      published: [life(CURRENT, -30, 60), life(aged(90), -90, -1)],
    });
    expect([...planRetirement(expired).remove].sort()).toEqual([OLD, aged(90)].sort());
  });

  it('leaves the active key, the overlap and a pending key alone', () => {
    const busy = state({
      active: { kid: CURRENT, since: day(-0.5) },
      storedKids: [OLD, CURRENT, NEXT],
      published: [life(OLD, -60, 0.5), life(CURRENT, -30, 60), life(NEXT, 0, 90)],
    });
    expect(planRetirement(busy)).toEqual({ limit: [], remove: [] });
    expect(inventory(busy).map(({ kid, status }) => [kid, status])).toEqual([
      [NEXT, 'pending'],
      [CURRENT, 'active'],
      [OLD, 'superseded'],
    ]);
  });

  it('never touches the active key, whatever the world looks like', () => {
    const kids = [aged(90), OLD, CURRENT, NEXT, 'somebody-elses'];
    const anyKids = fc.subarray(kids);
    const anyLives = fc
      .tuple(anyKids, fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 5, maxLength: 5 }))
      .map(([chosen, ends]) => chosen.map((kid, at) => life(kid, -101, ends[at] ?? 0)));
    fc.assert(
      fc.property(fc.constantFrom(...kids), anyKids, anyLives, (kid, storedKids, published) => {
        const world = state({ active: { kid, since: day(-2) }, storedKids, published });
        const { limit, remove } = planRetirement(world);
        expect(remove).not.toContain(kid);
        expect(limit.map((entry) => entry.kid)).not.toContain(kid);
        const plan = planRotation(world);
        if (plan.action === 'resume') expect(plan.newKid).not.toBe(kid);
        for (const entry of limit) expect(entry.expiresAt >= NOW).toBe(true);
      }),
    );
  });
});

describe('the propagation wait', () => {
  it('is at least the time that every cache takes', () => {
    expect(KEY_PROPAGATION_SECONDS).toBeGreaterThanOrEqual(390);
    expect(decideWait(undefined, false)).toEqual({
      ok: true,
      waitSeconds: KEY_PROPAGATION_SECONDS,
    });
    expect(decideWait(600, false)).toEqual({ ok: true, waitSeconds: 600 });
    expect(decideWait(389, false)).toMatchObject({ ok: false });
    expect(decideWait(0, false)).toMatchObject({ ok: false });
  });

  it('is shorter only for those who ask for it in so many words', () => {
    expect(decideWait(1, true)).toEqual({ ok: true, waitSeconds: 1 });
    expect(decideWait(-1, true)).toMatchObject({ ok: false });
    expect(decideWait(1.5, true)).toMatchObject({ ok: false });
  });
});
