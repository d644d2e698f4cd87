import { ask, at } from './http.client.ts';

export interface LoadedRule {
  readonly name: string;
  readonly query: string;
  readonly health: string;
  readonly lastError: string;
  /** Of the rule (`for`) and of its group, in seconds. */
  readonly forSeconds: number;
  readonly intervalSeconds: number;
  readonly isAlert: boolean;
}

export interface Target {
  readonly job: string;
  readonly health: string;
}

export interface PrometheusClient {
  rules(signal: AbortSignal): Promise<readonly LoadedRule[]>;
  targets(signal: AbortSignal): Promise<readonly Target[]>;
  /** How many series an instant query gives. */
  count(query: string, signal: AbortSignal): Promise<number>;
  /** Alertmanagers that alerts go to. */
  alertmanagers(signal: AbortSignal): Promise<number>;
}

/** Prometheus's HTTP API. Every method throws when it refuses or can't be reached. */
export function prometheusClient(baseUrl: string): PrometheusClient {
  const url = baseUrl.replace(/\/+$/, '');
  const get = async (path: string, signal: AbortSignal): Promise<unknown> => {
    const { status, json } = await ask(`${url}/api/v1/${path}`, { signal });
    if (status === 200 && at(json, 'status') === 'success') return at(json, 'data');
    throw new Error(`Prometheus answered ${String(status)} to ${path.split('?')[0] ?? ''}`);
  };
  return {
    rules: async (signal) => listAt(await get('rules', signal), 'groups').flatMap(rulesOf),
    targets: async (signal) =>
      listAt(await get('targets?state=active', signal), 'activeTargets').map((target) => ({
        job: textAt(target, 'labels', 'job'),
        health: textAt(target, 'health'),
      })),
    count: async (query, signal) =>
      listAt(await get(`query?query=${encodeURIComponent(query)}`, signal), 'result').length,
    alertmanagers: async (signal) =>
      listAt(await get('alertmanagers', signal), 'activeAlertmanagers').length,
  };
}

function rulesOf(group: unknown): LoadedRule[] {
  return listAt(group, 'rules').map((rule) => ({
    name: textAt(rule, 'name'),
    query: textAt(rule, 'query'),
    health: textAt(rule, 'health'),
    lastError: textAt(rule, 'lastError'),
    forSeconds: numberAt(rule, 'duration'),
    intervalSeconds: numberAt(group, 'interval'),
    isAlert: at(rule, 'type') === 'alerting',
  }));
}

function listAt(value: unknown, name: string): readonly unknown[] {
  const found = at(value, name);
  return Array.isArray(found) ? found : [];
}

function textAt(value: unknown, ...path: readonly string[]): string {
  const found = at(value, ...path);
  return typeof found === 'string' ? found : '';
}

function numberAt(value: unknown, name: string): number {
  const found = at(value, name);
  return typeof found === 'number' ? found : 0;
}
