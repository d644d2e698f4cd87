/** When a run fails. Each is a threshold of k6: one that is crossed makes k6 exit with 99. */
export interface Limits {
  /** Share of answers that may fail. */
  readonly failedShare: number;
  readonly p95Ms: number;
  readonly firstTokenP95Ms: number;
}

export function thresholdsOf(limits: Limits): Readonly<Record<string, readonly string[]>> {
  const { failedShare, p95Ms, firstTokenP95Ms } = limits;
  return {
    answers: ['count>0'],
    answer_failed: [failedShare === 0 ? 'rate==0' : `rate<${failedShare}`],
    answer_duration: [`p(95)<${p95Ms}`],
    time_to_first_token: [`p(95)<${firstTokenP95Ms}`],
    server_errors: ['count==0'],
    rate_limited: ['count==0'],
    receipt_settled: ['rate==1'],
    receipt_within_hold: ['rate==1'],
    books_difference: ['count==0'],
    books_balanced: ['rate==1'],
  };
}

/** A number from the environment, for shorter or longer runs. */
export function setting(name: string, fallback: number): number {
  const value = Number(__ENV[name] ?? fallback);
  if (!Number.isFinite(value) || value <= 0) throw new Error(`${name} is no number above 0`);
  return value;
}

/** Longer than an answer and its receipt: an answer that is cut off is charged, but not counted. */
export const GRACEFUL_STOP = '120s';
/** Trends as the summary shows them. */
export const TREND_STATS = ['avg', 'min', 'med', 'p(90)', 'p(95)', 'p(99)', 'max'] as const;
