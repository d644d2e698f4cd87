import type { ContestantName } from '../contestants/contestant.ts';
import { median } from '../lib/statistics.ts';

export type LaneName =
  | 'unary-closed'
  | 'unary-open'
  | 'stream-single'
  | 'stream-arrivals'
  | 'stream-held'
  | 'ledger-closed'
  | 'ledger-open'
  | 'start-up'
  | 'memory';

/** Numbers by name; the unit is the name's last word. CPU time is named `cpu/<process>Micros`. */
export type Metrics = Readonly<Record<string, number>>;

/** What one contestant did under one load, over all rounds. */
export interface Row {
  readonly lane: LaneName;
  /** The load: `64 connections`. */
  readonly setting: string;
  readonly contestant: ContestantName;
  /** Medians over the rounds. */
  readonly metrics: Metrics;
  readonly rounds: readonly Metrics[];
  /** Why there are no figures, or not from all rounds. */
  readonly fault?: string;
}

/** The median of each number over the rounds that have it. */
export function medians(rounds: readonly Metrics[]): Metrics {
  const names = new Set(rounds.flatMap((round) => Object.keys(round)));
  return Object.fromEntries(
    [...names].map((name) => {
      const values = rounds.map((round) => round[name]).filter((value) => value !== undefined);
      return [name, median(values)];
    }),
  );
}

export function findRow(
  rows: readonly Row[],
  lane: LaneName,
  setting: string,
  contestant: ContestantName,
): Row | undefined {
  return rows.find(
    (row) => row.lane === lane && row.setting === setting && row.contestant === contestant,
  );
}
