import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startReaper } from '@arrakis/testkit';
import { runCrash } from './run.ts';

const USAGE = `Usage: node test/crash/main.ts [--seed n] [--seconds s] [--short] [--sabotage name]

Starts the whole system, loads it, breaks it as the seed says, heals it and audits the books.
The report is printed and written to .arrakis/crash/. Exit code 0 when every invariant holds.`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      seconds: { type: 'string' },
      short: { type: 'boolean', default: false },
      sabotage: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const seed = wholeNumber(values.seed);
  const seconds = values.seconds === undefined ? undefined : wholeNumber(values.seconds);
  if (
    values.help ||
    seed === undefined ||
    (values.seconds !== undefined && seconds === undefined)
  ) {
    process.stderr.write(`${USAGE}\n`);
    return values.help ? 0 : 2;
  }
  const dir = await mkdtemp(join(tmpdir(), 'arrakis-crash-'));
  // Ctrl-C included: nothing stays behind.
  const reaper = startReaper(dir);
  const beganAtMs = performance.now();
  try {
    const report = await runCrash({
      seed,
      seconds,
      short: values.short,
      sabotage: values.sabotage,
      dir,
      onProgress: (line) => {
        const at = ((performance.now() - beganAtMs) / 1000).toFixed(1).padStart(6);
        process.stderr.write(`${at} s  ${line}\n`);
      },
    });
    process.stdout.write(report.text);
    return report.ok ? 0 : 1;
  } finally {
    await reaper.dismiss();
    await rm(dir, { recursive: true, force: true });
  }
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

const exitCode = await main();
// Left to itself Node now and then turns for ever in its own clean-up, over a request whose frozen
// peer was killed: its loop waits for an end that nobody reports any more.
process.stdout.write('', () => process.exit(exitCode));
