import { describe, expect, it } from 'vitest';
import { runCrash } from './run.ts';

/** Another one now and then finds more: `make test-crash SEED=n`. */
const SEED = 4;

describe('the crash test in its short form', () => {
  it('keeps every invariant while processes, wires and backends break', async () => {
    const report = await runCrash({ seed: SEED, short: true });
    const broken = report.verdicts.filter(({ ok }) => !ok);
    expect(broken, report.text).toEqual([]);
    expect(report.verdicts.length).toBeGreaterThan(15);
  }, 300_000);
});
