/** The alert that watches the books, and the metric that it has to watch. */
export const BOOKS_ALERT = 'BooksDrift';
export const BOOKS_METRIC = 'freeside_conservation_violations';

/** Jobs that the rules rely on, outside a cluster. */
export const EXPECTED_JOBS = ['freeside-api', 'freeside-worker', 'finn'] as const;

/** Alerts of severity `critical` in ops/prometheus/rules.yaml; a test holds the two together. */
export const CRITICAL_ALERTS = [
  'AuditTrailBroken',
  'BooksDrift',
  'BooksUnchecked',
  'FinnBreakerOpen',
  'HoldOpenTooLong',
  'InferenceErrorBudgetBurn',
  'RedisFailing',
  'ServiceMissing',
  'SigningKeyDegraded',
  'SigningKeyExpiring',
  'SigningKeyUnusable',
  'UsageSpoolFull',
] as const;

/** From the violated metric to the firing alert: what is promised is a minute, check included. */
export const MAX_ALERT_DELAY_SECONDS = 30;

/**
 * The rule's expression with the metric replaced by one made-up series, as the worker would expose
 * it with that many violations.
 *
 * @returns `undefined` when the expression doesn't ask for the metric: nothing would ever fire.
 */
export function withViolations(expression: string, violations: number): string | undefined {
  const selector = new RegExp(`(?<![\\w:])${BOOKS_METRIC}(?![\\w:])(?:\\{[^}]*\\})?`, 'g');
  if (!selector.test(expression)) return undefined;
  const series = `label_replace(vector(${String(violations)}), "depth", "quick", "", "")`;
  return expression.replaceAll(selector, series);
}
