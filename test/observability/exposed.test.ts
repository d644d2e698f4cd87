import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPlatform, type Platform } from '../e2e/support/platform.ts';
import { exerciseController } from './support/controller-metrics.ts';
import { parseExposition, type Series } from './support/exposition.ts';
import { faultsOf, type Query } from './support/faults.ts';
import { ROOT, readDashboard, readRules } from './support/ops-files.ts';
import { startPaymentVendor, varyPayments, type PaymentVendor } from './support/payment-traffic.ts';
import { queriesOf } from './support/runbooks.ts';
import { varyTraffic } from './support/varied-traffic.ts';

/** A dashboard that watches what nobody emits is worse than none: the names are held together. */

const JOBS = { api: 'freeside-api', worker: 'freeside-worker', finn: 'finn' } as const;
const KINDS = ['api', 'worker', 'finn'] as const;

let platform: Platform;
let payments: PaymentVendor;
let series: Series;
let recorded: ReadonlySet<string>;

beforeAll(async () => {
  payments = await startPaymentVendor();
  platform = await startPlatform({ api: payments.env, worker: payments.env });
  await varyTraffic(platform);
  await varyPayments(platform);
  series = await waitFor(readWhenJobsRan, { timeoutMs: 60_000, intervalMs: 500 });
  const rules = await readRules();
  recorded = new Set(rules.filter(({ kind }) => kind === 'record').map(({ name }) => name));
}, 180_000);
afterAll(async () => {
  await platform.stop();
  await payments.vendor.close();
});

/** What the worker's jobs measure; the backlog only after NATS was asked. */
const MEASURED = [
  'freeside_usage_backlog_events',
  'freeside_conservation_violations',
  'freeside_payments_open',
];

/** The worker's gauges are there once its jobs ran. */
async function readWhenJobsRan(): Promise<Series | undefined> {
  const read = await readSeries();
  return MEASURED.every((name) => read.has(name)) ? read : undefined;
}

async function readSeries(): Promise<Series> {
  const pages = KINDS.map(async (kind) => {
    const url = platform.adminUrls[kind];
    const text = await (await fetch(`${url}/metrics`)).text();
    return { text, target: { job: JOBS[kind], instance: new URL(url).host } };
  });
  const controller = {
    text: await exerciseController(),
    target: { job: 'controller', instance: '127.0.0.1:9303' },
  };
  return parseExposition([...(await Promise.all(pages)), controller]);
}

function allFaults(queries: readonly Query[]): string[] {
  return queries.flatMap((query) => faultsOf(query, series, recorded));
}

describe('every metric, label and value that is named', () => {
  it('in the rules is exposed by the running processes', async () => {
    const rules = await readRules();
    expect(rules.length).toBeGreaterThan(30);
    const queries = rules.map(({ kind, name, expr }) => ({ where: `${kind} ${name}`, expr }));
    expect(allFaults(queries)).toEqual([]);
  });

  it('in the dashboard is exposed by the running processes', async () => {
    const panels = await readDashboard();
    expect(panels.length).toBeGreaterThan(40);
    const queries = panels.map(({ panel, ...rest }) => ({ where: `panel ${panel}`, ...rest }));
    expect(allFaults(queries)).toEqual([]);
  });

  it('in the runbooks is exposed by the running processes', async () => {
    const queries = await queriesOf('promql');
    expect(queries.length).toBeGreaterThan(50);
    expect(allFaults(queries.map(({ where, text }) => ({ where, expr: text })))).toEqual([]);
  });

  it('is missed when it is not there: the check can fail', () => {
    const faults = (expr: string, legendLabels: string[] = []) =>
      faultsOf({ where: 'w', expr, legendLabels }, series, recorded);
    expect(faults('rate(freeside_hold_total[5m])')).toEqual([
      'w: freeside_hold_total is not exposed',
    ]);
    expect(faults('freeside_settlements_total{outcome="finalised"}')).toHaveLength(2);
    expect(faults('freeside_settlements_total{carrier=~"done_event|doneevent"}')).toEqual([
      'w: no series of freeside_settlements_total has carrier="doneevent"',
    ]);
    expect(faults('sum by (carier) (freeside_settlements_total)')).toHaveLength(1);
    expect(faults('freeside_settlements_total', ['community'])).toHaveLength(1);
    expect(faults('path:nothing:rate5m')).toEqual([
      'w: path:nothing:rate5m is recorded by no rule',
    ]);
    expect(faults('sum by (carrier) (freeside_settlements_total)', ['carrier'])).toEqual([]);
  });
});

describe('the list of metrics in the docs', () => {
  it('is what the processes expose', async () => {
    const text = await readFile(join(ROOT, 'docs/generated/metrics.md'), 'utf8');
    const listed = new Set([...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, name = '']) => name));
    const ours = (name: string): boolean => !/^(?:process|nodejs)_/.test(name);
    const exposed = new Set(
      [...series.keys()]
        .filter(ours)
        .map((name) => (listed.has(name) ? name : name.replace(/_(?:bucket|sum|count)$/, ''))),
    );
    expect([...exposed].filter((name) => !listed.has(name))).toEqual([]);
  });
});

describe('labels', () => {
  it('hold no ids, keys, wallets, slugs or prompts', () => {
    const values = [...series.values()].flat().flatMap((labels) => Object.values(labels));
    const suspicious = values.filter((value) =>
      /[0-9a-f]{8}-[0-9a-f]{4}|0x[0-9a-f]{6}|lf_(?:live|test)|market-scout|dune-sage|What now|NP-|50000000/i.test(
        value,
      ),
    );
    expect(suspicious).toEqual([]);
    expect(values.length).toBeGreaterThan(200);
  });
});
