import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { OwnBackends } from '@arrakis/testkit';
import { withBackends } from './lib/with-backends.ts';
import type { PaymentsBench, Result } from './payments/bench.ts';
import { measureDeliveries } from './payments/deliveries.ts';
import { tablesOf, type PaymentsResults } from './payments/report.ts';
import { measureSealing } from './payments/sealing.ts';
import { measureVerifier } from './payments/verifier.ts';
import { describeMachine, FORMAT, readVersions, type BenchDocument } from './report/document.ts';
import { headline } from './report/headline.ts';
import { toMarkdown, toText } from './report/tables.ts';

/**
 * Payments and their trail: notice to committed credits, the verifier, and what sealing costs those
 * who hold and settle.
 *
 * `node loadtest/bench/payments.ts [--only deliveries|verifier|sealing] [--quick] [--rounds 3]
 * [--cpu-prof <dir>]`. A full run, some four minutes, writes docs/generated/bench-payments.md; any
 * other, also one of fewer rounds, writes nothing.
 */

const ROOT = resolve(import.meta.dirname, '../..');
const PAGE = join(ROOT, 'docs/generated/bench-payments.md');
const LANES = {
  deliveries: measureDeliveries,
  verifier: measureVerifier,
  sealing: measureSealing,
} satisfies Record<keyof PaymentsResults, (bench: PaymentsBench) => Promise<Result[]>>;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean' },
    rounds: { type: 'string', default: '3' },
    'cpu-prof': { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const FULL_ROUNDS = 3;
const isFull =
  values.only === undefined &&
  values.quick !== true &&
  values['cpu-prof'] === undefined &&
  rounds >= FULL_ROUNDS;

async function measure(backends: OwnBackends): Promise<[PaymentsResults, BenchDocument]> {
  const dir = values['cpu-prof'];
  const bench: PaymentsBench = {
    ...{ backends, rounds },
    scale: values.quick === true ? 0.3 : 1,
    apiEnv: dir === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${resolve(dir)}` },
    progress: (line) => console.error(`${new Date().toISOString().slice(11, 19)}  ${line}`),
  };
  const results: { -readonly [lane in keyof PaymentsResults]: readonly Result[] } = {
    ...{ deliveries: [], verifier: [], sealing: [] },
  };
  for (const lane of Object.keys(LANES) as (keyof PaymentsResults)[]) {
    if (values.only === undefined || values.only === lane) {
      results[lane] = await LANES[lane](bench);
    }
  }
  const found = Object.values(results).flat();
  const document: BenchDocument = {
    ...{ format: FORMAT, rounds, kind: isFull ? 'full' : 'partial' },
    date: new Date().toISOString(),
    machine: describeMachine(),
    versions: await readVersions(backends),
    rows: found.map((one) => ({ ...one, lane: 'ledger-open', contestant: 'arrakis' })),
  };
  return [results, document];
}

const [results, document] = await withBackends(measure);
const tables = tablesOf(results);
console.log(headline(document).join('\n'));
for (const table of tables) console.log(toText(table));
if (isFull) {
  const page = [
    '# Benchmark results of payments and the audit trail',
    'Written by `make bench-payments`; what follows from them: [performance](../performance.md).',
    headline(document)
      .map((line) => `- ${line}`)
      .join('\n'),
    ...tables.map(toMarkdown),
  ];
  await mkdir(dirname(PAGE), { recursive: true });
  await writeFile(PAGE, `${page.join('\n\n')}\n`);
  console.log(`\nWritten: ${relative(ROOT, PAGE)}`);
}
