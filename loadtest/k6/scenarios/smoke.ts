import { readBalance } from '../flows/balance.ts';
import { listModels } from '../flows/models.ts';
import { begin, settle, turn, type Start } from '../lib/run.ts';
import { summarize, type SummaryData } from '../lib/summary.ts';
import { GRACEFUL_STOP, TREND_STATS, thresholdsOf } from '../lib/thresholds.ts';

/** Every flow a few times, one user: does it work at all? */
export const options = {
  scenarios: {
    smoke: {
      executor: 'per-vu-iterations',
      vus: 1,
      iterations: 4,
      maxDuration: '5m',
      gracefulStop: GRACEFUL_STOP,
      exec: 'user',
    },
  },
  thresholds: thresholdsOf({ failedShare: 0, p95Ms: 30_000, firstTokenP95Ms: 10_000 }),
  summaryTrendStats: TREND_STATS,
};

export const setup = begin;
export const teardown = settle;

export function user(start: Start): void {
  listModels();
  turn(start);
  readBalance();
}

export function handleSummary(data: SummaryData): Record<string, string> {
  return summarize('smoke', data);
}
