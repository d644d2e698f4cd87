import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../../..');
export const PROMETHEUS_DIR = join(ROOT, 'ops/prometheus');

export interface Rule {
  readonly kind: 'alert' | 'record';
  readonly name: string;
  readonly expr: string;
  /** Of an alert. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly severity: string | undefined;
}

/** An expression of the dashboard, its variables replaced by what they are for "All". */
export interface PanelQuery {
  readonly panel: string;
  readonly expr: string;
  /** Labels that the legend names. */
  readonly legendLabels: readonly string[];
}

/**
 * The rules of `ops/prometheus/rules.yaml`. Reads YAML as far as that file uses it; that it reads
 * what Prometheus reads is tested where there is a Prometheus.
 */
export async function readRules(): Promise<readonly Rule[]> {
  const text = await readFile(join(PROMETHEUS_DIR, 'rules.yaml'), 'utf8');
  return text
    .split(/^ {6}- (?=alert:|record:)/m)
    .slice(1)
    .map(readRule);
}

function readRule(text: string): Rule {
  const [head = '', ...lines] = text.split('\n');
  const [kind, name = ''] = head.split(': ');
  const scalar = (key: string): string | undefined =>
    lines
      .find((line) => line.trimStart().startsWith(`${key}: `))
      ?.trim()
      .slice(key.length + 2)
      .replace(/^'(.*)'$/, '$1');
  const keys = ['summary', 'description', 'runbook_url'];
  const annotations = keys.flatMap((key) => {
    const value = scalar(key);
    return value === undefined ? [] : [[key, value] as const];
  });
  return {
    kind: kind === 'alert' ? 'alert' : 'record',
    name: name.trim(),
    expr: exprOf(lines, scalar('expr')),
    annotations: Object.fromEntries(annotations),
    severity: /severity: (\w+)/.exec(text)?.[1],
  };
}

function exprOf(lines: readonly string[], inline: string | undefined): string {
  if (inline === undefined) throw new Error('a rule without an expression');
  if (inline !== '|') return inline;
  const start = lines.findIndex((line) => line.trim() === 'expr: |') + 1;
  const block: string[] = [];
  for (const line of lines.slice(start)) {
    if (!line.startsWith(' '.repeat(10))) break;
    block.push(line.trim());
  }
  return block.join(' ');
}

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
}

export async function readDashboard(): Promise<readonly PanelQuery[]> {
  const text = await readFile(join(ROOT, 'ops/grafana/arrakis-path.json'), 'utf8');
  const { panels } = JSON.parse(text) as Dashboard;
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat = '' }) => ({
      panel: title,
      expr: expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(?:job|instance)\b/g, '.*'),
      legendLabels: [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label ?? ''),
    })),
  );
}
