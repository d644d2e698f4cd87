import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/** The parts of Grafana's dashboard that the preview draws. */
export interface Panel {
  readonly type: 'row' | 'stat' | 'timeseries' | 'state-timeline';
  readonly title: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly Target[];
  readonly fieldConfig?: FieldConfig;
}

export interface Target {
  readonly expr: string;
  readonly legendFormat: string;
}

export interface FieldConfig {
  readonly defaults: {
    readonly unit: string;
    readonly decimals?: number;
    readonly max?: number;
    readonly mappings: readonly { readonly options: Readonly<Record<string, ValueName>> }[];
    readonly thresholds?: { readonly steps: readonly Step[] };
    readonly custom?: { readonly stacking?: { readonly mode: string } };
  };
  readonly overrides: readonly {
    readonly matcher: { readonly options: string };
    readonly properties: readonly { readonly value: { readonly fixedColor: string } }[];
  }[];
}

interface ValueName {
  readonly text: string;
  readonly color: string;
}

interface Step {
  readonly color: string;
  readonly value: number | null;
}

const FILE = resolve(import.meta.dirname, '../../ops/grafana/arrakis-path.json');

export function readPanels(): { readonly title: string; readonly panels: readonly Panel[] } {
  return JSON.parse(readFileSync(FILE, 'utf8')) as { title: string; panels: Panel[] };
}

/** As Grafana would ask it with everything selected and a scrape every 10 s. */
export function expressionOf({ expr }: Target): string {
  return expr.replaceAll('$__rate_interval', '40s').replaceAll(/\$(?:job|instance)\b/g, '.*');
}
