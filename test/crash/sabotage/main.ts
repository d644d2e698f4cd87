import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startReaper } from '@arrakis/testkit';
import { runCrash } from '../run.ts';
import type { CrashReport, Sabotage } from '../types.ts';
import { SABOTAGES } from './catalogue.ts';

const USAGE = `Usage: node test/crash/sabotage/main.ts [--seed n] [name ...]

Runs the short crash test once for each guard that is taken out, and expects it to go red for that
reason. Exit code 0 when each did, 1 when one stayed green: then the test can't fail.`;

/** Shorter than the short form: each sabotage has a scenario of its own after the load. */
const LOAD_SECONDS = 8;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { seed: { type: 'string', default: '1' }, help: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const names = positionals.length > 0 ? positionals : Object.keys(SABOTAGES);
  const unknown = names.filter((name) => SABOTAGES[name] === undefined);
  if (values.help || unknown.length > 0 || !/^\d{1,9}$/.test(values.seed)) {
    process.stderr.write(`${USAGE}\nNames: ${Object.keys(SABOTAGES).join(', ')}\n`);
    return values.help ? 0 : 2;
  }
  let green = 0;
  for (const name of names) {
    if (!(await goesRed(name, SABOTAGES[name]!, Number(values.seed)))) green += 1;
  }
  process.stdout.write(
    green === 0
      ? `All ${names.length} sabotages were found.\n`
      : `${green} of ${names.length} sabotages were not found.\n`,
  );
  return green === 0 ? 0 : 1;
}

async function goesRed(name: string, sabotage: Sabotage, seed: number): Promise<boolean> {
  const beganAtMs = performance.now();
  const verdict = await judge(name, sabotage, seed);
  const seconds = Math.round((performance.now() - beganAtMs) / 1000);
  process.stdout.write(
    `${verdict.isRed ? 'red  ' : 'GREEN'} ${name} (${seconds} s): ${sabotage.what}\n`,
  );
  for (const line of verdict.lines) process.stdout.write(`        ${line}\n`);
  return verdict.isRed;
}

interface Judgement {
  readonly isRed: boolean;
  readonly lines: readonly string[];
}

/** Red counts only where the sabotage is the reason; a run that could not be made is not red. */
async function judge(name: string, sabotage: Sabotage, seed: number): Promise<Judgement> {
  try {
    const { verdicts } = await run(name, seed);
    const broken = verdicts.filter(({ ok }) => !ok);
    const expected = broken.filter(({ invariant }) => sabotage.breaks.includes(invariant));
    const others = broken.length - expected.length;
    return {
      isRed: expected.length > 0,
      lines: [
        ...expected.map(({ invariant, detail }) => `${invariant}: ${detail.slice(0, 200)}`),
        ...(others > 0 ? [`and ${others} other invariants`] : []),
      ],
    };
  } catch (error) {
    return { isRed: false, lines: [`the run failed: ${String(error)}`] };
  }
}

async function run(sabotage: string, seed: number): Promise<CrashReport> {
  const dir = await mkdtemp(join(tmpdir(), 'arrakis-crash-'));
  // Ctrl-C included: nothing stays behind.
  const reaper = startReaper(dir);
  try {
    return await runCrash({ seed, short: true, seconds: LOAD_SECONDS, sabotage, dir });
  } finally {
    await reaper.dismiss();
    await rm(dir, { recursive: true, force: true });
  }
}

const exitCode = await main();
// Left to itself Node now and then turns for ever in its own clean-up, over a request whose frozen
// peer was killed: its loop waits for an end that nobody reports any more.
process.stdout.write('', () => process.exit(exitCode));
