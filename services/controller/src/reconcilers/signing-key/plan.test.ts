import { describe, expect, it } from 'vitest';
import { planDeletion } from './deletion.domain.ts';
import { parseDurationMs } from './duration.domain.ts';
import { ownerOf } from './owner.domain.ts';
import { HOUR, SECOND, SPEC, Simulation } from './test-support/simulation.ts';

/** A key is active and `replicas` sign with it. */
function begun(replicas = 2): Simulation {
  const world = new Simulation();
  world.reconcile();
  for (let index = 0; index < replicas; index += 1) world.startReplica();
  looks(world, 3);
  return world;
}

/** Looks until the planner has nothing to do at once; replicas don't follow by themselves. */
function looks(world: Simulation, most = 10): void {
  for (let look = 0; look < most; look += 1) if (world.reconcile() > 0) return;
}

/** Everybody confirms until a second key is active and seen to be. */
function rotate(world: Simulation): { oldKid: string; newKid: string } {
  const oldKid = world.active?.kid ?? '';
  world.advance(2 * SECOND);
  world.rotateRequest = `at ${world.nowMs}`;
  for (let look = 0; look < 100; look += 1) {
    world.settle();
    world.advance(world.reconcile());
    if (world.active?.kid !== oldKid && world.told.at(-1) === 'SwitchSeen') break;
  }
  return { oldKid, newKid: world.active?.kid ?? '' };
}

const condition = (world: Simulation, type: string) =>
  world.lastPlan?.record.conditions.find((one) => one.type === type);
const phaseOf = (world: Simulation, kid: string) =>
  world.recorded.keys.find((key) => key.kid === kid)?.phase;

describe('the first key', () => {
  it('is made, published and active at once, because nobody signs yet', () => {
    const world = new Simulation();
    expect(world.reconcile()).toBe(0);
    expect(world.active?.kid).toBe([...world.pems.keys()][0]);
    expect(world.rows.has(world.active?.kid ?? '')).toBe(true);
    expect(world.told).toEqual(['KeyBootstrapped']);
  });

  it('of a process that died before the Secret was written is forgotten an hour later', () => {
    const world = new Simulation();
    world.reconcile(1);
    const [orphan = ''] = world.rows.keys();
    looks(world);
    expect(world.active?.kid).not.toBe(orphan);
    expect(world.rows.has(orphan)).toBe(true);
    world.advance(2 * HOUR);
    looks(world);
    expect([...world.rows.keys()]).toEqual([world.active?.kid]);
  });

  it('is not made while replicas sign with a key that nobody else knows', () => {
    const world = begun();
    world.pems.clear();
    world.active = undefined;
    world.recorded = { activeKid: undefined, lastRotateRequest: undefined, keys: [] };
    looks(world);
    expect(world.told).not.toContain('KeyActivatedAtOnce');
    expect(world.active).toBeUndefined();
    expect(condition(world, 'Ready')?.isTrue).toBe(false);
  });
});

describe('a rotation', () => {
  it('walks through its phases', () => {
    const world = begun();
    world.advance(2 * SECOND);
    world.rotateRequest = 'now';
    const phases: string[] = [];
    for (let look = 0; look < 60; look += 1) {
      world.settle();
      world.advance(world.reconcile());
      const phase = world.lastPlan?.record.phase ?? '';
      if (phases.at(-1) !== phase) phases.push(phase);
    }
    expect(phases).toEqual(['Publishing', 'Propagating', 'Canary', 'Active']);
    expect(world.violations).toEqual([]);
  });

  it('comes on schedule, counted from the switch', () => {
    const world = begun();
    world.advance(SPEC.rotationIntervalMs - 60 * SECOND);
    looks(world);
    expect(world.pems.size).toBe(1);
    world.advance(60 * SECOND);
    looks(world);
    expect(world.pems.size).toBe(2);
  });

  it('answers what was asked for while it ran', () => {
    const world = begun();
    world.advance(2 * SECOND);
    world.rotateRequest = 'one';
    looks(world);
    world.rotateRequest = 'two';
    rotateOn(world);
    expect(world.recorded.lastRotateRequest).toBe('two');
    expect(world.told.filter((reason) => reason === 'RotationStarted')).toHaveLength(1);
  });

  it.each([
    [
      'no replica is ready to serve the key',
      (w: Simulation) => void (w.replicas = []),
      'NotServed',
    ],
    ['a replica is cut off', (w: Simulation) => cutOff(w), 'NotServed'],
  ])('waits and says so when %s', (_, harm, reason) => {
    const world = begun();
    world.advance(2 * SECOND);
    world.rotateRequest = 'now';
    looks(world);
    world.settle();
    harm(world);
    looks(world);
    expect(condition(world, 'Rotating')).toMatchObject({ isTrue: true, reason });
    world.advance(SPEC.rotationIntervalMs);
    looks(world);
    expect(world.recorded.keys.filter(({ phase }) => phase === 'Active')).toHaveLength(1);
    expect(world.told).not.toContain('KeyActivated');
  });

  it('begins its wait anew when the key is not served any more', () => {
    const world = begun();
    world.advance(2 * SECOND);
    world.rotateRequest = 'now';
    looks(world);
    world.settle();
    looks(world);
    world.advance(389 * SECOND);
    world.replicas[0]?.serves.clear();
    looks(world);
    expect(world.told).toContain('KeyNotServed');
    world.settle();
    looks(world);
    world.advance(389 * SECOND);
    looks(world);
    expect(world.told).not.toContain('CanaryPassed');
    world.advance(2 * SECOND);
    looks(world);
    expect(world.told).toContain('CanaryPassed');
  });

  it('counts the overlap from the moment every replica was seen to have switched', () => {
    const world = begun();
    const oldKid = world.active?.kid ?? '';
    world.advance(2 * SECOND);
    world.rotateRequest = 'now';
    looks(world);
    world.replicas.forEach((_, index) => world.refresh(index));
    looks(world);
    world.advance(391 * SECOND);
    looks(world);
    expect(world.active?.kid).not.toBe(oldKid);
    world.follow(0);
    world.advance(10 * SPEC.overlapMs);
    looks(world);
    expect(condition(world, 'Rotating')).toMatchObject({ isTrue: true, reason: 'SwitchNotSeen' });
    expect(phaseOf(world, oldKid)).toBe('Retiring');
    world.follow(1);
    looks(world);
    world.advance(SPEC.overlapMs - SECOND);
    looks(world);
    expect(phaseOf(world, oldKid)).toBe('Retiring');
    world.advance(2 * SECOND);
    looks(world);
    expect(phaseOf(world, oldKid)).toBe('Retired');
    expect([world.pems.has(oldKid), world.rows.has(oldKid)]).toEqual([false, false]);
  });

  it('retires nothing that a replica signs with still, or that one can not be asked about', () => {
    const world = begun();
    const { oldKid } = rotate(world);
    world.advance(2 * SPEC.overlapMs);
    const [lagging, other] = world.replicas;
    lagging!.signs = oldKid;
    looks(world);
    expect(world.told).toContain('SignerStillUses');
    lagging!.signs = other!.signs;
    cutOff(world);
    looks(world);
    expect(phaseOf(world, oldKid)).toBe('Retiring');
    world.settle();
    looks(world);
    expect(phaseOf(world, oldKid)).toBe('Retired');
  });

  it('is not begun with a wait below the floor, while what is there is kept', () => {
    const world = begun();
    world.minPropagationWaitMs = SPEC.propagationWaitMs + 1;
    world.advance(2 * SECOND);
    world.rotateRequest = 'now';
    world.rows.clear();
    looks(world);
    expect(world.rows.has(world.active?.kid ?? '')).toBe(true);
    expect(world.pems.size).toBe(1);
    expect(condition(world, 'Degraded')?.reason).toBe('PropagationWaitTooShort');
  });
});

describe('a hand', () => {
  it('that names another active key is put right, and the overlap begins anew', () => {
    const world = begun();
    const { oldKid, newKid } = rotate(world);
    world.advance(SPEC.overlapMs - 60 * SECOND);
    world.active = { kid: oldKid, since: world.now };
    world.replicas.forEach((_, index) => world.follow(index));
    looks(world);
    expect(world.active.kid).toBe(newKid);
    world.advance(120 * SECOND);
    world.settle();
    looks(world);
    expect(phaseOf(world, oldKid)).toBe('Retiring');
    expect(world.violations).toEqual([]);
  });

  it('that garbles the active key makes the next one go the whole way', () => {
    const world = begun();
    const lost = world.active?.kid ?? '';
    world.pems.set(lost, false);
    world.advance(2 * SECOND);
    looks(world);
    expect(condition(world, 'Degraded')?.reason).toBe('MaterialLost');
    expect(world.active?.kid).toBe(lost);
    rotateOn(world);
    expect(world.active?.kid).not.toBe(lost);
    expect(world.told).toContain('CanaryPassed');
    expect(world.violations).toEqual([]);
  });

  it('that garbles the active key while nothing runs makes the next one sign at once', () => {
    const world = begun();
    world.pems.set(world.active?.kid ?? '', false);
    world.replicas = [];
    world.advance(2 * SECOND);
    looks(world);
    expect(world.pems.get(world.active?.kid ?? '')).toBe(true);
  });
});

/** Everybody confirms until the rotation that is under way has switched. */
function rotateOn(world: Simulation): void {
  for (let look = 0; look < 60; look += 1) {
    world.settle();
    world.advance(world.reconcile());
  }
}

function cutOff(world: Simulation): void {
  const [first] = world.replicas;
  if (first !== undefined) first.isReachable = false;
}

describe('a deletion', () => {
  const now = new Date('2026-01-01T01:00:00Z');
  const requestedAt = new Date('2026-01-01T00:59:00Z');
  const signers = { replicas: 1, kids: ['a'] };
  const usual = { now, requestedAt, kids: ['a'], signers };
  it.each([
    ['waits while a replica signs with the key', { signers }, false, 'DeletionWaits'],
    [
      'goes on when replicas sign with others',
      { signers: { replicas: 1, kids: ['x'] } },
      true,
      'KeysWithdrawn',
    ],
    ['goes on when nothing runs', { signers: { replicas: 0, kids: [] } }, true, 'KeysWithdrawn'],
    [
      'waits while a replica can not be asked',
      { signers: { replicas: 1, kids: [], unclear: 'away' } },
      false,
      'DeletionWaits',
    ],
    [
      'is forced after ten minutes',
      { signers, requestedAt: new Date('2026-01-01T00:50:00Z') },
      true,
      'DeletionForced',
    ],
  ])('%s', (_, change, release, reason) => {
    const decided = planDeletion({ ...usual, ...change });
    expect(decided).toMatchObject({ release, event: { reason } });
  });
});

describe('the keys of an issuer', () => {
  const claim = (name: string, creationTimestamp: string, issuer = 'loa-freeside') => ({
    metadata: { name, creationTimestamp },
    spec: { issuer },
  });
  it('stay with the resource that has them, whatever comes in the same second', () => {
    const holder = {
      ...claim('b', '1'),
      metadata: { name: 'b', creationTimestamp: '1', finalizers: ['f'] },
    };
    expect(ownerOf([claim('a', '1'), holder], claim('a', '1'))).toBe('b');
  });

  it('belong to the oldest resource, and of those to the first by name', () => {
    const all = [claim('b', '2'), claim('c', '1'), claim('a', '1'), claim('0', '0', 'loa-dixie')];
    expect(all.map((one) => ownerOf(all, one))).toEqual(['a', 'a', 'a', '0']);
  });
});

describe('a duration', () => {
  it.each([
    ['390s', 390_000],
    ['6m30s', 390_000],
    ['24h', 86_400_000],
    ['0s', 0],
    ['', undefined],
    ['1d', undefined],
    ['1.5h', undefined],
    ['-1s', undefined],
    ['10', undefined],
  ])('%j is %s ms', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });
});
