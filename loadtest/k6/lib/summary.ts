/**
 * The result of a run, readable on stdout. LOAD_SUMMARY_DIR names a folder for it and its JSON; `-`
 * prints the JSON as the last line, for a Job whose only way out is its log.
 */

/** As far as it is read here of what k6 hands over. */
export interface SummaryData {
  readonly metrics: Readonly<Record<string, MetricData | undefined>>;
  readonly state: { readonly testRunDurationMs: number };
}

interface MetricData {
  readonly type: string;
  readonly contains: string;
  readonly values: Readonly<Record<string, number>>;
  readonly thresholds?: Readonly<Record<string, { readonly ok: boolean }>>;
}

const SHOWN = ['answer_duration', 'time_to_first_token'] as const;
const COUNTED = ['completion_tokens', 'server_errors', 'rate_limited', 'books_difference'] as const;

/** @returns files by their paths, `stdout` for the terminal, as k6's `handleSummary` wants it. */
export function summarize(scenario: string, data: SummaryData): Record<string, string> {
  const crossed = crossedThresholds(data);
  const result = {
    scenario,
    verdict: crossed.length === 0 && countOf(data, 'answers') > 0 ? 'pass' : 'fail',
    crossed,
    durationMs: Math.round(data.state.testRunDurationMs),
    metrics: data.metrics,
  };
  const text = render(scenario, data, result.verdict, crossed);
  const dir = __ENV.LOAD_SUMMARY_DIR ?? '';
  if (dir === '-') return { stdout: `${text}\n${JSON.stringify(result)}\n` };
  return {
    stdout: `${text}\n`,
    ...(dir === ''
      ? {}
      : {
          [`${dir}/${scenario}.json`]: `${JSON.stringify(result, null, 2)}\n`,
          [`${dir}/${scenario}.txt`]: `${text}\n`,
        }),
  };
}

function crossedThresholds({ metrics }: SummaryData): string[] {
  return Object.entries(metrics).flatMap(([name, metric]) =>
    Object.entries(metric?.thresholds ?? {})
      .filter(([, { ok }]) => !ok)
      .map(([rule]) => `${name}: ${rule}`),
  );
}

function render(
  scenario: string,
  data: SummaryData,
  verdict: string,
  crossed: readonly string[],
): string {
  const seconds = data.state.testRunDurationMs / 1000;
  const answers = countOf(data, 'answers');
  const failed = data.metrics.answer_failed?.values;
  return [
    '',
    `${scenario}: ${verdict}`,
    line(
      'answers',
      `${String(answers)} in ${seconds.toFixed(1)} s (${(answers / seconds).toFixed(1)}/s)`,
    ),
    line('answer_failed', `${String(failed?.passes ?? 0)} (${percent(failed?.rate ?? 0)})`),
    ...SHOWN.map((name) => line(name, trend(data.metrics[name]))),
    ...COUNTED.map((name) => line(name, String(countOf(data, name)))),
    ...crossed.map((rule) => line('CROSSED', rule)),
    ...(countOf(data, 'answers') > 0 ? [] : [line('NO ANSWER', 'nothing was measured')]),
  ].join('\n');
}

function line(name: string, text: string): string {
  return `  ${name.padEnd(22)} ${text}`;
}

function trend(metric: MetricData | undefined): string {
  if (metric === undefined) return 'none';
  const { values } = metric;
  const ms = (name: string): string => `${name} ${(values[name] ?? 0).toFixed(0)} ms`;
  return ['med', 'p(95)', 'p(99)', 'max'].map(ms).join(', ');
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

function countOf({ metrics }: SummaryData, name: string): number {
  return metrics[name]?.values.count ?? 0;
}
