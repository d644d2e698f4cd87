import { describe, expect, it } from 'vitest';
import { FULL_FORM, SHORT_FORM, planFaults, type PlanForm } from './plan.ts';

const SEEDS = Array.from({ length: 200 }, (_, index) => index + 1);
const FORMS: readonly (readonly [string, PlanForm])[] = [
  ['full', FULL_FORM],
  ['short', SHORT_FORM],
];

describe.each(FORMS)('the %s schedule', (_name, form) => {
  it('is the same for the same seed', () => {
    for (const seed of SEEDS) expect(planFaults(seed, form)).toEqual(planFaults(seed, form));
  });

  it('differs between seeds', () => {
    const plans = new Set(SEEDS.map((seed) => JSON.stringify(planFaults(seed, form))));
    expect(plans.size).toBe(SEEDS.length);
  });

  it('has a calm start, and everything is undone before a calm end', () => {
    for (const fault of SEEDS.flatMap((seed) => planFaults(seed, form))) {
      expect(fault.atMs).toBeGreaterThanOrEqual(form.calmMs);
      expect(fault.atMs + fault.lastsMs).toBeLessThanOrEqual(form.seconds * 1000 - form.calmMs);
    }
  });

  it('has as many faults as the form says, in the order of their moments', () => {
    for (const seed of SEEDS) {
      const moments = planFaults(seed, form).map(({ atMs }) => atMs);
      expect(moments).toHaveLength(form.faults);
      expect(moments).toEqual(moments.toSorted((one, other) => one - other));
    }
  });
});

describe('schedules of a few seeds', () => {
  it('have every kind of fault among them', () => {
    const kinds = new Set(
      SEEDS.slice(0, 3).flatMap((seed) => planFaults(seed, FULL_FORM).map(({ kind }) => kind)),
    );
    expect(kinds.size).toBe(15);
  });

  it('kill and freeze each of our processes', () => {
    for (const kind of ['kill', 'freeze']) {
      const plans = SEEDS.slice(0, 20).flatMap((seed) => planFaults(seed, FULL_FORM));
      const victims = new Set(plans.filter((one) => one.kind === kind).map((one) => one.target));
      expect([...victims].sort()).toEqual(['api-1', 'api-2', 'finn-1', 'finn-2', 'worker-1']);
    }
  });

  it('have faults that overlap', () => {
    const overlapping = SEEDS.filter((seed) => {
      const faults = planFaults(seed, FULL_FORM);
      return faults.some((fault, index) => {
        const next = faults[index + 1];
        return next !== undefined && next.atMs < fault.atMs + fault.lastsMs;
      });
    });
    expect(overlapping.length).toBeGreaterThan(SEEDS.length / 2);
  });
});
