import { readFile } from 'node:fs/promises';
import type { BenchDocument } from './document.ts';
import { findRow } from './row.ts';
import { formatNumber } from './tables.ts';

/** Less than that is noise on a shared machine. */
const WORTH_SHOWING_PERCENT = 5;
const COMPARED = [
  'perSecond',
  'latencyP50Ms',
  'latencyP99Ms',
  'addedLatencyP50Ms',
  'addedLatencyP99Ms',
  'addedFirstTokenP50Ms',
  'addedFirstTokenP99Ms',
  'gapP99Ms',
  'cpuMicros',
  'cpu/apiMicros',
  'cpu/finnMicros',
  'cpu/workerMicros',
  'cpu/postgresMicros',
  'cpu/natsMicros',
  'cpu/redisMicros',
  'startMs',
];

/** What has changed since an earlier run, as lines. @throws when the file is no result of ours */
export async function changesSince(file: string, now: BenchDocument): Promise<string[]> {
  const before = JSON.parse(await readFile(file, 'utf8')) as BenchDocument;
  if (before.format !== now.format) throw new Error(`${file} has another format`);
  const lines = now.rows.flatMap((row) => {
    const old = findRow(before.rows, row.lane, row.setting, row.contestant);
    return COMPARED.flatMap((name) => {
      const [was, is] = [old?.metrics[name], row.metrics[name]];
      if (was === undefined || is === undefined) return [];
      const percent = 100 * (is / was - 1);
      if (!(Math.abs(percent) >= WORTH_SHOWING_PERCENT)) return [];
      const sign = percent > 0 ? '+' : '';
      return [
        `${row.lane}, ${row.setting}, ${row.contestant}: ${name} ${formatNumber(was)} → ${formatNumber(is)} (${sign}${percent.toFixed(0)} %)`,
      ];
    });
  });
  const { arrakis } = before.versions;
  return [
    `\nSince ${before.date} (${arrakis ?? 'unknown'}), from ${WORTH_SHOWING_PERCENT} % on:`,
    ...lines,
  ];
}
