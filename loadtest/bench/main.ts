import type { OwnBackends } from '@arrakis/testkit';
import { startLineUp } from './contestants/line-up.ts';
import { startGenerator } from './generator/handle.ts';
import type { Bench, Lane } from './lanes/lane.ts';
import { ledger } from './lanes/ledger.ts';
import { memory } from './lanes/memory.ts';
import {
  streamArrivals,
  streamHeld,
  streamSingle,
  unaryClosed,
  unaryOpen,
} from './lanes/requests.ts';
import { startUp } from './lanes/start-up.ts';
import { warmUp } from './lanes/warm-up.ts';
import { kindOf, readOptions, USAGE, type LaneGroup, type Options } from './lib/options.ts';
import { withBackends } from './lib/with-backends.ts';
import { changesSince } from './report/changes.ts';
import { describeMachine, FORMAT, readVersions, type BenchDocument } from './report/document.ts';
import { headline } from './report/headline.ts';
import { publish } from './report/publish.ts';
import type { Row } from './report/row.ts';
import { tablesOf, toText } from './report/tables.ts';

/**
 * Ours beside the provider itself and a peer, in one run and in turns: latency in open loops,
 * ceilings in closed ones, CPU time of every process. See {@link USAGE}.
 */

const QUICK_SCALE = 0.4;

const LANES: Readonly<Record<LaneGroup, readonly Lane[]>> = {
  unary: [unaryClosed],
  open: [unaryOpen],
  streams: [streamSingle, streamArrivals],
  held: [streamHeld],
  ledger: [ledger],
  memory: [memory],
  // Restarts processes, which then are cold.
  start: [startUp],
};

function progress(line: string): void {
  console.error(`${new Date().toISOString().slice(11, 19)}  ${line}`);
}

/** Puts what it finds into `rows`, where it is also when a lane fails. */
async function measure(
  options: Options,
  backends: OwnBackends,
  rows: Row[],
): Promise<BenchDocument> {
  const lineUp = await startLineUp({
    backends,
    groups: options.contestants,
    ...options,
    progress,
  });
  const generator = startGenerator();
  try {
    const { rounds, memoryMs, lanes } = options;
    const bench: Bench = {
      ...{ backends, generator, rounds, memoryMs, progress },
      provider: lineUp.provider,
      contestants: lineUp.contestants,
      ours: lineUp.ours,
      scale: options.quick ? QUICK_SCALE : 1,
      found: rows,
    };
    const versions = await readVersions(backends);
    await warmUp(bench);
    for (const [group, chosen] of Object.entries(LANES)) {
      if (!lanes.some((lane) => lane === group)) continue;
      for (const lane of chosen) rows.push(...(await lane(bench)));
    }
    const date = new Date().toISOString();
    const kind = kindOf(options);
    return { format: FORMAT, date, kind, rounds, machine: describeMachine(), versions, rows };
  } finally {
    generator.stop();
    await lineUp.stop();
  }
}

async function main(options: Options): Promise<void> {
  const rows: Row[] = [];
  const show = (): void => tablesOf(rows).forEach((table) => console.log(toText(table)));
  let document: BenchDocument;
  try {
    document = await withBackends((backends) => measure(options, backends, rows));
  } catch (error) {
    console.log('\nThe run is VOID; what it had found before it failed:');
    show();
    throw error;
  }
  console.log(headline(document).join('\n'));
  show();
  if (options.compare !== undefined) {
    console.log((await changesSince(options.compare, document)).join('\n'));
  }
  console.log(`\nWritten: ${(await publish(document)).join(', ')}`);
}

let options: Options | undefined;
try {
  options = readOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
  process.exitCode = 2;
}
if (options !== undefined) await main(options);
