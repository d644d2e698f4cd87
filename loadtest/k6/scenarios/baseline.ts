import { begin, settle, turn } from '../lib/run.ts';
import { summarize, type SummaryData } from '../lib/summary.ts';
import { GRACEFUL_STOP, TREND_STATS, setting, thresholdsOf } from '../lib/thresholds.ts';

/** Ten users who ask without a pause: 95 % of the answers within 30 s, no 5xx, books exact. */
export const options = {
  scenarios: {
    baseline: {
      executor: 'constant-vus',
      vus: 10,
      duration: `${setting('LOAD_SECONDS', 60)}s`,
      gracefulStop: GRACEFUL_STOP,
      exec: 'user',
    },
  },
  thresholds: thresholdsOf({ failedShare: 0.01, p95Ms: 30_000, firstTokenP95Ms: 15_000 }),
  summaryTrendStats: TREND_STATS,
};

export const setup = begin;
export const user = turn;
export const teardown = settle;

export function handleSummary(data: SummaryData): Record<string, string> {
  return summarize('baseline', data);
}
