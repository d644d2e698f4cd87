import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { simulate } from '../services/freeside/src/features/reservations/simulation/simulate.domain.ts';

/**
 * Runs simulated histories of the whole metering, from the first number on, on every core.
 * `node loadtest/simulate.ts [histories] [first number]`, or `node loadtest/simulate.ts show <number>`
 * to tell one history step by step. Prints the rate meanwhile, then what happened how often and each
 * history that broke a promise; exits with 1 if one did.
 */

const CHUNK = 1_000;
const PROGRESS_MS = 5_000;
const SHOWN = 20;

interface Chunk {
  readonly histories: number;
  readonly steps: number;
  readonly requests: number;
  readonly events: readonly (readonly [string, number])[];
  readonly broken: readonly { readonly seed: number; readonly violations: readonly string[] }[];
}

function runChunk(first: number, count: number): Chunk {
  const tally = new Map<string, number>();
  const add = (kind: string): void => void tally.set(kind, (tally.get(kind) ?? 0) + 1);
  const onOperation: NonNullable<Parameters<typeof simulate>[1]>['onOperation'] = (operation) => {
    if (operation.kind !== 'batch') return;
    for (const { outcome } of operation.result.settlements) add(`= settlement ${outcome}`);
    for (const { outcome } of operation.result.holds) add(`= hold ${outcome}`);
  };
  const broken: { seed: number; violations: readonly string[] }[] = [];
  let steps = 0;
  let requests = 0;
  for (let seed = first; seed < first + count; seed += 1) {
    const history = simulate(seed, { tally, onOperation });
    steps += history.steps;
    requests += history.requests;
    if (history.violations.length > 0) broken.push({ seed, violations: history.violations });
  }
  return { histories: count, steps, requests, events: [...tally], broken };
}

function work(): void {
  parentPort?.on('message', ({ first, count }: { first: number; count: number }) => {
    parentPort?.postMessage(runChunk(first, count));
  });
}

class Totals {
  histories = 0;
  steps = 0;
  requests = 0;
  readonly events = new Map<string, number>();
  readonly broken: { seed: number; violations: readonly string[] }[] = [];

  add(chunk: Chunk): void {
    this.histories += chunk.histories;
    this.steps += chunk.steps;
    this.requests += chunk.requests;
    this.broken.push(...chunk.broken);
    for (const [kind, times] of chunk.events) {
      this.events.set(kind, (this.events.get(kind) ?? 0) + times);
    }
  }
}

/** Hands out chunks of numbers until all are told. */
async function runAll(histories: number, first: number, totals: Totals): Promise<void> {
  let next = first;
  const end = first + histories;
  const workers = Array.from(
    { length: Math.min(availableParallelism(), Math.ceil(histories / CHUNK)) },
    () => new Worker(new URL(import.meta.url), { workerData: 'simulate' }),
  );
  const drive = (worker: Worker): Promise<void> =>
    new Promise((resolve, reject) => {
      const give = (): void => {
        if (next >= end) {
          resolve();
          return;
        }
        const count = Math.min(CHUNK, end - next);
        worker.postMessage({ first: next, count });
        next += count;
      };
      worker.on('message', (chunk: Chunk) => {
        totals.add(chunk);
        give();
      });
      worker.on('error', reject);
      give();
    });
  try {
    await Promise.all(workers.map(drive));
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function report(totals: Totals, seconds: number): void {
  const { histories, steps, requests, events, broken } = totals;
  const sorted = [...events].sort(([a], [b]) => a.localeCompare(b));
  for (const [kind, times] of sorted) console.log(`${String(times).padStart(12)}  ${kind}`);
  console.log(
    `\n${histories} histories, ${steps} steps, ${requests} requests in ${seconds.toFixed(0)} s` +
      ` (${Math.round(histories / seconds)} histories/s): ${broken.length} broken`,
  );
  for (const { seed, violations } of broken.slice(0, SHOWN)) {
    console.log(`history ${seed}: ${violations.join('; ')}`);
  }
  if (broken.length > 0)
    console.log('Each again, step by step: node loadtest/simulate.ts show <number>');
}

async function main(): Promise<void> {
  const histories = Number(process.argv[2] ?? '100000');
  const first = Number(process.argv[3] ?? '1');
  if (!Number.isSafeInteger(histories) || histories < 1 || !Number.isSafeInteger(first)) {
    throw new Error('usage: node loadtest/simulate.ts [histories] [first number]');
  }
  const totals = new Totals();
  const began = performance.now();
  const elapsed = (): number => (performance.now() - began) / 1000;
  const progress = setInterval(() => {
    const rate = Math.round(totals.histories / elapsed());
    console.log(`${totals.histories} of ${histories}, ${rate}/s, ${totals.broken.length} broken`);
  }, PROGRESS_MS);
  try {
    await runAll(histories, first, totals);
  } finally {
    clearInterval(progress);
  }
  report(totals, elapsed());
  if (totals.broken.length > 0) process.exitCode = 1;
}

function show(seed: number): void {
  const { violations } = simulate(seed, { trace: (line) => console.log(line) });
  console.log(violations.length === 0 ? 'Nothing broken.' : violations.join('\n'));
  if (violations.length > 0) process.exitCode = 1;
}

if (!isMainThread && workerData === 'simulate') work();
else if (process.argv[2] === 'show') show(Number(process.argv[3]));
else await main();
