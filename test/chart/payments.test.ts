import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import {
  named,
  render,
  renderRaw,
  workloadNamed,
  type Container,
  type EnvVariable,
} from './support/render.ts';
import { CHART, findTool } from './support/tools.ts';

/** What sells credits, signs the audit trail, and tells somebody when either goes wrong. */

const helm = findTool('helm');
const API = 'arrakis-freeside-api';
const WORKER = 'arrakis-freeside-worker';

const rendered = (set: string, settings: Readonly<Record<string, string>> = {}) =>
  helm === undefined ? [] : render(helm, set, settings);

function variablesOf(container: Container | undefined, pattern: RegExp): readonly EnvVariable[] {
  return (container?.env ?? []).filter(({ name }) => pattern.test(name));
}

const SALE = /^(?:NOWPAYMENTS_|FREESIDE_PUBLIC_URL)/;
const fromSecret = (name: string, key: string, optional: object = {}): object => ({
  name,
  valueFrom: { secretKeyRef: { name: 'arrakis-payments', key, ...optional } },
});

describe.skipIf(helm === undefined)('payments', () => {
  it('reach api and worker by their Secret, and the account of the vendor the worker alone', () => {
    const objects = rendered('production');
    const common = [
      fromSecret('NOWPAYMENTS_API_KEY', 'api-key'),
      fromSecret('NOWPAYMENTS_IPN_SECRET', 'ipn-secret'),
      { name: 'NOWPAYMENTS_BASE_URL', value: 'https://api.nowpayments.io' },
      { name: 'FREESIDE_PUBLIC_URL', value: 'https://api.arrakis.community' },
    ];
    const of = (name: string) => variablesOf(workloadNamed(objects, name).pod.containers[0], SALE);
    expect(of(API)).toEqual(common);
    expect(of(WORKER)).toEqual([
      ...common,
      fromSecret('NOWPAYMENTS_EMAIL', 'email', { optional: true }),
      fromSecret('NOWPAYMENTS_PASSWORD', 'password', { optional: true }),
    ]);
  });

  it('leave no trace where nothing is sold', () => {
    const text = JSON.stringify(rendered('kind'));
    expect(text).not.toMatch(/NOWPAYMENTS|FREESIDE_PUBLIC_URL|payment-vendor/);
  });

  it('open one way out, at the port of the vendor, to api and worker', () => {
    const out = (settings: Readonly<Record<string, string>> = {}) =>
      named(rendered('production', settings), 'NetworkPolicy', 'arrakis-to-payment-vendor').spec;
    expect(out()).toMatchObject({
      podSelector: {
        matchExpressions: [{ operator: 'In', values: ['freeside-api', 'freeside-worker'] }],
      },
      policyTypes: ['Egress'],
      egress: [{ ports: [{ port: 443, protocol: 'TCP' }] }],
    });
    const fake = out({ 'payments.baseUrl': 'http://vendor.test:18080' });
    expect(fake?.egress).toMatchObject([{ ports: [{ port: 18_080 }] }]);
  });

  it('are reported to where the internet reaches the api, and to no made up place', () => {
    const url = (settings: Readonly<Record<string, string>>) =>
      variablesOf(
        workloadNamed(rendered('production', settings), API).pod.containers[0],
        /PUBLIC_URL/,
      )[0]?.value;
    expect(url({ 'payments.publicUrl': 'https://pay.example' })).toBe('https://pay.example');
    const route = {
      'ingress.enabled': 'false',
      'httpRoute.enabled': 'true',
      'httpRoute.parentRefs[0].name': 'gateway',
      'httpRoute.hostnames[0]': 'route.example',
    };
    expect(url(route)).toBe('https://route.example');
    const { code, errors } = renderRaw(helm ?? '', 'production', { 'ingress.enabled': 'false' });
    expect(code).not.toBe(0);
    expect(errors).toMatch(/payments\.publicUrl/);
  });

  it('come in by the Ingress that leads to the api', () => {
    const { spec } = named(rendered('production'), 'Ingress', API);
    const [rule] = spec?.rules as { http: { paths: { path: string; pathType: string }[] } }[];
    expect(rule?.http.paths).toMatchObject([{ path: '/', pathType: 'Prefix' }]);
  });
});

describe.skipIf(helm === undefined)('the key of the audit trail', () => {
  it.each([
    ['production', 'arrakis-audit'],
    ['kind', 'arrakis-audit'],
  ])('of %s is mounted into the worker, and into nobody else', (set, secretName) => {
    const objects = rendered(set);
    const { pod } = workloadNamed(objects, WORKER);
    expect(pod.volumes).toContainEqual({
      name: 'audit',
      secret: { secretName, defaultMode: 0o440 },
    });
    const [file] = variablesOf(pod.containers[0], /AUDIT/);
    expect(file).toEqual({
      name: 'AUDIT_SIGNING_KEY_FILE',
      value: '/var/run/arrakis/audit/signing-key',
    });
    expect(JSON.stringify(workloadNamed(objects, API))).not.toMatch(/arrakis-audit"|AUDIT/);
  });

  it('may be missing: then the trail is unsigned', () => {
    const { pod } = workloadNamed(rendered('production', { 'secrets.audit': '' }), WORKER);
    expect(JSON.stringify(pod)).not.toMatch(/audit/i);
  });

  it('is given to the gates as its public half only', () => {
    const { pod } = workloadNamed(rendered('production'), 'arrakis-gonogo');
    expect(variablesOf(pod.containers[0], /AUDIT/)).toEqual([
      {
        name: 'GONOGO_AUDIT_KEYS',
        valueFrom: {
          secretKeyRef: { name: 'arrakis-audit-public', key: 'audit-public.pem' },
        },
      },
    ]);
    expect(JSON.stringify(pod.volumes)).not.toContain('arrakis-audit');
  });
});

describe.skipIf(helm === undefined)('the chart brings what watches', () => {
  const file = (name: string): string => readFileSync(join(CHART, 'files', name), 'utf8');
  const objects = rendered('production', {
    'metrics.prometheusRule.enabled': 'true',
    'metrics.prometheusRule.labels.release': 'prometheus',
    'metrics.dashboard.enabled': 'true',
  });

  it('the rules, to the letter', () => {
    const rule = named(objects, 'PrometheusRule', 'arrakis');
    expect(rule.spec).toEqual(parse(file('prometheus-rules.yaml')));
    expect(rule.metadata.labels).toMatchObject({ release: 'prometheus' });
  });

  it('the dashboard, to the letter', () => {
    const { data, metadata } = named(objects, 'ConfigMap', 'arrakis-dashboard');
    expect(JSON.parse(data?.['arrakis-path.json'] ?? '')).toEqual(
      JSON.parse(file('arrakis-path.json')),
    );
    expect(metadata.labels).toMatchObject({ grafana_dashboard: '1' });
  });

  it('neither unless asked for', () => {
    const text = JSON.stringify(rendered('production'));
    expect(text).not.toMatch(/PrometheusRule|grafana_dashboard/);
  });
});
