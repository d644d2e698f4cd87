import type { Labels, Series } from './exposition.ts';
import { matches, namesIn, valuesSpelledOut, type Selector } from './promql.ts';

/** What every scrape adds, and what Prometheus makes itself. */
const OF_EVERY_TARGET = ['job', 'instance'];
const OF_PROMETHEUS: Series = new Map<string, readonly Labels[]>([
  [
    'up',
    ['freeside-api', 'freeside-worker', 'finn', 'controller'].map((job) => ({
      job,
      instance: '127.0.0.1:1',
    })),
  ],
  ['ALERTS', [{ alertname: 'x', alertstate: 'firing', severity: 'x' }]],
]);

export interface Query {
  /** Where it stands, for the message. */
  readonly where: string;
  readonly expr: string;
  readonly legendLabels?: readonly string[];
}

/**
 * What a query names and nobody exposes: metrics, labels, values of labels, recording rules. Empty
 * when all is well.
 */
export function faultsOf(query: Query, series: Series, recorded: ReadonlySet<string>): string[] {
  const { selectors, groupingLabels } = namesIn(query.expr);
  const raw = selectors.filter(({ metric }) => !metric.includes(':'));
  const unknown = selectors.filter(({ metric }) => metric.includes(':') && !recorded.has(metric));
  const faults = [
    ...unknown.map(({ metric }) => `${metric} is recorded by no rule`),
    ...raw.flatMap((selector) => selectorFaults(selector, seriesOf(selector, series))),
  ];
  const known = new Set([
    ...OF_EVERY_TARGET,
    ...raw.flatMap((selector) =>
      seriesOf(selector, series).flatMap((labels) => Object.keys(labels)),
    ),
  ]);
  // What a recording rule passes on is checked where the rule is.
  if (raw.length === selectors.length) {
    const used = [...groupingLabels, ...(query.legendLabels ?? [])];
    faults.push(
      ...used.filter((label) => !known.has(label)).map((label) => `no series has label ${label}`),
    );
  }
  return faults.map((fault) => `${query.where}: ${fault}`);
}

function seriesOf({ metric }: Selector, series: Series): readonly Labels[] {
  return OF_PROMETHEUS.get(metric) ?? series.get(metric) ?? [];
}

function selectorFaults({ metric, matchers }: Selector, found: readonly Labels[]): string[] {
  if (found.length === 0) return [`${metric} is not exposed`];
  const text = matchers.map(({ label, operator, value }) => `${label}${operator}"${value}"`);
  const faults: string[] = [];
  if (!found.some((labels) => matchers.every((each) => matches(each, labels[each.label] ?? '')))) {
    faults.push(`no series of ${metric} has ${text.join(', ')}`);
  }
  for (const matcher of matchers) {
    const { label } = matcher;
    if (!found.some((labels) => label in labels)) faults.push(`${metric} has no label ${label}`);
    const values = new Set(found.map((labels) => labels[label]));
    for (const value of valuesSpelledOut(matcher)) {
      if (!values.has(value)) faults.push(`no series of ${metric} has ${label}="${value}"`);
    }
  }
  return faults;
}
