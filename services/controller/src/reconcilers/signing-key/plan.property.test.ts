import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HOUR, SECOND, SPEC, Simulation } from './test-support/simulation.ts';

type Step = (world: Simulation) => void;

/** An ordinary life: crashes at any write, replicas that lag or are away, time that passes. */
const life: fc.Arbitrary<{ name: string; step: Step }> = fc.oneof(
  { weight: 8, arbitrary: fc.constant(named('look', (w) => void w.reconcile())) },
  {
    weight: 6,
    arbitrary: fc.nat(12).map((n) => named(`${n} quiet looks`, (w) => quietLooks(w, n))),
  },
  {
    weight: 4,
    arbitrary: fc
      .nat(3)
      .map((n) => named(`look, dying after ${n} writes`, (w) => void w.reconcile(n))),
  },
  {
    weight: 5,
    arbitrary: fc
      .constantFrom(
        SECOND,
        30 * SECOND,
        200 * SECOND,
        391 * SECOND,
        HOUR,
        25 * HOUR,
        SPEC.rotationIntervalMs,
      )
      .map((ms) => named(`${ms / 1000} s pass`, (w) => w.advance(ms))),
  },
  { weight: 5, arbitrary: fc.nat(3).map((i) => named(`replica ${i} follows`, (w) => w.follow(i))) },
  {
    weight: 5,
    arbitrary: fc.nat(3).map((i) => named(`replica ${i} reads the table`, (w) => w.refresh(i))),
  },
  {
    weight: 1,
    arbitrary: fc.nat(3).map((i) =>
      named(`replica ${i} serves nothing for now`, (w) => {
        w.replicas[i % Math.max(1, w.replicas.length)]?.serves.clear();
      }),
    ),
  },
  { weight: 2, arbitrary: fc.constant(named('a replica starts', (w) => w.startReplica())) },
  {
    weight: 2,
    arbitrary: fc.nat(3).map((i) =>
      named(`replica ${i} is cut off, or back`, (w) => {
        const replica = w.replicas[i % Math.max(1, w.replicas.length)];
        if (replica !== undefined) replica.isReachable = !replica.isReachable;
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constant(
      named('verifiers refuse, or not', (w) => void (w.verifiersAccept = !w.verifiersAccept)),
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .nat(9)
      .map((n) => named(`annotated ${n}`, (w) => void (w.rotateRequest = String(n)))),
  },
);

/** What hands and accidents do. */
const harm: fc.Arbitrary<{ name: string; step: Step }> = fc.oneof(
  fc.nat(9).map((i) => named('a row vanishes', (w) => void w.rows.delete(pick(w.rows.keys(), i)))),
  fc.nat(9).map((i) => named('a pem is garbled', (w) => garble(w, i))),
  fc.nat(9).map((i) => named('a pem vanishes', (w) => void w.pems.delete(pick(w.pems.keys(), i)))),
  fc.constant(named('active.json vanishes', (w) => void (w.active = undefined))),
  fc.nat(9).map((i) =>
    named('active.json names another key', (w) => {
      w.active = { kid: pick(w.pems.keys(), i), since: w.now };
    }),
  ),
  fc.constant(
    named('the status is lost', (w) => {
      w.recorded = { activeKid: undefined, lastRotateRequest: undefined, keys: [] };
    }),
  ),
  fc.constant(named('all replicas go', (w) => void (w.replicas = []))),
  fc.nat(9).map((i) =>
    named('a row is falsified', (w) => {
      const row = w.rows.get(pick(w.rows.keys(), i));
      if (row !== undefined) row.fits = false;
    }),
  ),
);

function named(name: string, step: Step) {
  return { name, step, toString: () => name };
}

function pick(from: Iterable<string>, index: number): string {
  const all = [...from];
  return all[index % Math.max(1, all.length)] ?? 'none';
}

function garble(world: Simulation, index: number): void {
  const kid = pick(world.pems.keys(), index);
  if (world.pems.has(kid)) world.pems.set(kid, false);
}

/** A key is active and replicas sign with it. */
function begun(): Simulation {
  const world = new Simulation();
  world.reconcile();
  world.startReplica();
  world.startReplica();
  world.reconcile();
  return world;
}

/** Everything confirms from now on. @returns whether `done` came to hold. */
function goOn(world: Simulation, done: () => boolean, looks = 400): boolean {
  for (let look = 0; look < looks; look += 1) {
    world.settle();
    const wakeMs = world.reconcile();
    if (done()) return true;
    world.advance(Math.max(wakeMs, SECOND));
    if (world.replicas.length === 0) world.startReplica();
  }
  return false;
}

/** Everybody confirms, and the controller wakes when it wanted to. */
function quietLooks(world: Simulation, looks: number): void {
  for (let look = 0; look < looks; look += 1) {
    world.settle();
    world.advance(world.reconcile());
  }
}

const run = (world: Simulation, steps: readonly { step: Step }[]): void => {
  for (const { step } of steps) step(world);
};

const RUNS = { numRuns: 200 };

describe('the planner, over every order of events', () => {
  it('never lets a key sign too early, nor retires one too early', () => {
    fc.assert(
      fc.property(fc.array(life, { minLength: 40, maxLength: 120 }), (steps) => {
        const world = begun();
        run(world, steps);
        expect(world.violations).toEqual([]);
      }),
      RUNS,
    );
  });

  it('does rotate in these lives, so that the above says something', () => {
    const told = new Set<string>();
    let retired = 0;
    fc.assert(
      fc.property(fc.array(life, { minLength: 60, maxLength: 120 }), (steps) => {
        const world = begun();
        run(world, steps);
        for (const reason of world.told) told.add(reason);
        retired += world.told.filter((reason) => reason === 'KeyRetired').length;
      }),
      RUNS,
    );
    expect([...told]).toEqual(
      expect.arrayContaining([
        'KeyServed',
        'KeyNotServed',
        'CanaryPassed',
        'KeyActivated',
        'SwitchSeen',
        'SignersUnclear',
      ]),
    );
    expect(retired).toBeGreaterThan(50);
  });

  it('always has exactly one active key, which is there and published', () => {
    fc.assert(
      fc.property(fc.array(life, { minLength: 20, maxLength: 80 }), (steps) => {
        const world = begun();
        for (const { step } of steps) {
          step(world);
          expect(world.active).toBeDefined();
          expect(world.pems.get(world.active?.kid ?? '')).toBe(true);
          expect(world.rows.has(world.active?.kid ?? '')).toBe(true);
        }
      }),
      RUNS,
    );
  });

  it('ends a rotation that was asked for as soon as everything confirms', () => {
    fc.assert(
      fc.property(fc.array(life, { maxLength: 60 }), (steps) => {
        const world = begun();
        run(world, steps);
        // Whatever is under way first comes to its end, overlap included.
        goOn(world, () => isQuiet(world), 12_000);
        const before = world.active?.kid;
        world.rotateRequest = 'again';
        expect(goOn(world, () => world.active?.kid !== before && isSwitchSeen(world), 800)).toBe(
          true,
        );
        expect(world.recorded.lastRotateRequest).toBe('again');
        expect(world.violations).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('comes back from every harm to one active key that is there and published', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 4, arbitrary: life }, { weight: 1, arbitrary: harm }), {
          maxLength: 60,
        }),
        (steps) => {
          const world = begun();
          run(world, steps);
          const isWhole = (): boolean => {
            const kid = world.active?.kid ?? '';
            return (
              world.pems.get(kid) === true &&
              world.rows.get(kid)?.fits === true &&
              isSwitchSeen(world)
            );
          };
          expect(goOn(world, isWhole, 2_000)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('says why, whenever it waits for somebody', () => {
    fc.assert(
      fc.property(fc.array(life, { minLength: 20, maxLength: 80 }), (steps) => {
        const world = begun();
        for (const { step } of steps) {
          step(world);
          const rotating = world.lastPlan?.record.conditions.find(
            ({ type }) => type === 'Rotating',
          );
          if (world.lastPlan?.action === undefined && rotating?.isTrue === true) {
            expect(rotating.reason).not.toBe('Progressing');
            expect(rotating.message.length).toBeGreaterThan(5);
          }
        }
      }),
      RUNS,
    );
  });
});

function isSwitchSeen(world: Simulation): boolean {
  const record = world.recorded.keys.find(({ kid }) => kid === world.active?.kid);
  return world.recorded.activeKid === world.active?.kid && record?.activatedAt !== undefined;
}

function isQuiet(world: Simulation): boolean {
  return (
    isSwitchSeen(world) &&
    world.recorded.keys.every(({ phase }) => phase === 'Active' || phase === 'Retired')
  );
}
