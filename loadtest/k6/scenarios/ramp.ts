import { begin, settle, turn } from '../lib/run.ts';
import { summarize, type SummaryData } from '../lib/summary.ts';
import { GRACEFUL_STOP, TREND_STATS, setting, thresholdsOf } from '../lib/thresholds.ts';

const PEAK = Math.round(setting('LOAD_PEAK', 50));
const SECONDS = setting('LOAD_SECONDS', 120);

/** From one user to many, a while there, and back: where does it begin to hurt? */
export const options = {
  scenarios: {
    ramp: {
      executor: 'ramping-vus',
      startVUs: 1,
      stages: [
        { duration: `${Math.ceil(SECONDS / 2)}s`, target: PEAK },
        { duration: `${Math.ceil(SECONDS / 4)}s`, target: PEAK },
        { duration: `${Math.ceil(SECONDS / 4)}s`, target: 1 },
      ],
      gracefulRampDown: GRACEFUL_STOP,
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
  return summarize('ramp', data);
}
