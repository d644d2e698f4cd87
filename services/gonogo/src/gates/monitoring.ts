import { conclude, inconclusive, type Gate, type JsonObject } from '../gate.domain.ts';
import {
  BOOKS_ALERT,
  BOOKS_METRIC,
  CRITICAL_ALERTS,
  MAX_ALERT_DELAY_SECONDS,
  withViolations,
} from '../probes/alert-rules.domain.ts';
import type { LoadedRule, PrometheusClient, Target } from '../probes/prometheus.client.ts';

export interface MonitoringOptions {
  readonly prometheus: PrometheusClient | undefined;
  /** What has to be scraped, by the names of Prometheus's jobs. */
  readonly jobs: readonly string[];
  readonly deadlineMs: number;
}

interface Shown {
  readonly wrong: readonly string[];
  readonly evidence: JsonObject;
}

/**
 * Whether somebody would be told. The books are not bent for it: Prometheus evaluates the loaded
 * rule's own expression with a violation in the metric's place, and with none.
 */
export function monitoringGate({ prometheus, jobs, deadlineMs }: MonitoringOptions): Gate {
  return {
    name: 'monitoring',
    asks: 'is everything scraped, and would the alert for the books fire on a test violation',
    deadlineMs,
    whenLate: 'inconclusive',
    async run(signal) {
      if (prometheus === undefined) return inconclusive('no Prometheus is named (PROMETHEUS_URL)');
      const [rules, targets, alertmanagers] = await Promise.all([
        prometheus.rules(signal),
        prometheus.targets(signal),
        prometheus.alertmanagers(signal),
      ]);
      const alert = await showAlert(prometheus, rules, signal);
      const wrong = [...ruleFaults(rules), ...targetFaults(targets, jobs), ...alert.wrong];
      return conclude(
        { wrong, unclear: [] },
        `${String(rules.length)} rules healthy, ${String(targets.length)} targets up, ${BOOKS_ALERT} would fire`,
        {
          rules: rules.map(({ name, health }) => ({ name, health })),
          targets: targets.map((target) => ({ ...target })),
          alert: alert.evidence,
          // Who is told is decided there; without one the alert is only on a page.
          alertmanagers,
        },
      );
    },
  };
}

function ruleFaults(rules: readonly LoadedRule[]): string[] {
  const loaded = new Set(rules.filter(({ isAlert }) => isAlert).map(({ name }) => name));
  return [
    ...CRITICAL_ALERTS.filter((name) => !loaded.has(name)).map((name) => `${name} is not loaded`),
    ...rules
      .filter(({ health }) => health !== 'ok')
      .map(({ name, health, lastError }) => `rule ${name} is ${health} ${lastError}`.trim()),
  ];
}

function targetFaults(targets: readonly Target[], jobs: readonly string[]): string[] {
  return jobs.flatMap((job) => {
    const ours = targets.filter((target) => target.job === job);
    if (ours.length === 0) return [`nothing is scraped as ${job}`];
    const down = ours.filter(({ health }) => health !== 'up').length;
    return down === 0 ? [] : [`${String(down)} of ${String(ours.length)} targets of ${job} not up`];
  });
}

async function showAlert(
  prometheus: PrometheusClient,
  rules: readonly LoadedRule[],
  signal: AbortSignal,
): Promise<Shown> {
  const rule = rules.find(({ name, isAlert }) => isAlert && name === BOOKS_ALERT);
  if (rule === undefined) return { wrong: [], evidence: { query: null } };
  const violated = withViolations(rule.query, 1);
  const quiet = withViolations(rule.query, 0);
  if (violated === undefined || quiet === undefined) {
    return {
      wrong: [`${BOOKS_ALERT} does not watch ${BOOKS_METRIC}`],
      evidence: { query: rule.query },
    };
  }
  const [series, firesWhenViolated, firesWhenQuiet] = await Promise.all([
    prometheus.count(BOOKS_METRIC, signal),
    prometheus.count(violated, signal),
    prometheus.count(quiet, signal),
  ]);
  const delaySeconds = rule.forSeconds + rule.intervalSeconds;
  const wrong = [
    ...(series > 0 ? [] : [`no process exposes ${BOOKS_METRIC}`]),
    ...(firesWhenViolated > 0 ? [] : [`${BOOKS_ALERT} would not fire on a violation`]),
    ...(firesWhenQuiet === 0 ? [] : [`${BOOKS_ALERT} would fire without a violation`]),
    ...(delaySeconds <= MAX_ALERT_DELAY_SECONDS
      ? []
      : [`${BOOKS_ALERT} waits ${String(delaySeconds)} s before it fires`]),
  ];
  const evidence = {
    query: rule.query,
    asked: violated,
    series,
    firesWhenViolated,
    firesWhenQuiet,
  };
  return { wrong, evidence: { ...evidence, delaySeconds } };
}
