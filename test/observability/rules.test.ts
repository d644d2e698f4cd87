import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROMETHEUS_DIR, readDashboard, readRules, type Rule } from './support/ops-files.ts';
import { prometheusHere } from './support/prometheus-here.ts';
import { RUNBOOKS_DIR, queriesOf } from './support/runbooks.ts';

/** Pages that are about a task and not about an alert. */
const OTHER_RUNBOOKS = [
  'README.md',
  'key-rotation.md',
  'local-trouble.md',
  'nats-loss.md',
  'rollback.md',
];
const SECTIONS = ['What it means', 'Look', 'Mend', 'Verify', 'Escalate'];

const binaries = await prometheusHere();
let rules: readonly Rule[];
let alerts: readonly Rule[];
let scratch: string;

beforeAll(async () => {
  rules = await readRules();
  alerts = rules.filter(({ kind }) => kind === 'alert');
  scratch = await mkdtemp(join(tmpdir(), 'arrakis-rules-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** @throws with promtool's own words when it is not content */
async function promtool(...args: readonly string[]): Promise<string> {
  const run = promisify(execFile)(binaries?.promtool ?? '', args, { cwd: PROMETHEUS_DIR });
  const { stdout } = await run.catch((error: unknown) => {
    const { stdout: out, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`promtool ${args.join(' ')}\n${out}${stderr}`);
  });
  return stdout;
}

describe.skipIf(binaries === undefined)('promtool', () => {
  it('accepts the rules and the example configuration', async () => {
    expect(await promtool('check', 'config', 'prometheus.yaml')).toContain('SUCCESS');
  });

  it('sees each rule fire where it should, and no other', async () => {
    expect(await promtool('test', 'rules', 'rules.test.yaml')).toContain('SUCCESS');
  });

  it('accepts every expression of the dashboard and of the runbooks', async () => {
    const file = join(scratch, 'dashboard.json');
    const panels = (await readDashboard()).map(({ expr }) => expr);
    const pages = (await queriesOf('promql')).map(({ text }) => text);
    const records = [...panels, ...pages].map((expr, index) => ({
      record: `panel:${String(index)}`.replace(/\d/g, (digit) => 'abcdefghij'[Number(digit)] ?? ''),
      expr,
    }));
    await writeFile(file, JSON.stringify({ groups: [{ name: 'dashboard', rules: records }] }));
    expect(await promtool('check', 'rules', file)).toContain(`${records.length} rules found`);
  });
});

describe('each alert', () => {
  it('has a severity, a summary, a description and a runbook', () => {
    expect(alerts.length).toBeGreaterThan(25);
    const lacking = alerts.filter(
      ({ severity, annotations }) =>
        !/^(?:critical|warning)$/.test(severity ?? '') || Object.keys(annotations).length < 3,
    );
    expect(lacking).toEqual([]);
  });

  it('names the runbook that is called as it is', () => {
    for (const { name, annotations } of alerts) {
      expect(annotations.runbook_url).toBe(`docs/runbooks/${fileOf(name)}`);
    }
  });

  it('has a case in which it fires among the unit tests', async () => {
    const cases = await readFile(join(PROMETHEUS_DIR, 'rules.test.yaml'), 'utf8');
    for (const { name, severity } of alerts) {
      expect(cases).toContain(`alertname="${name}", severity="${severity ?? ''}"`);
    }
  });
});

describe('the runbooks', () => {
  it('are there for each alert, and for none that does not exist', async () => {
    const files = (await readdir(RUNBOOKS_DIR)).filter((name) => !OTHER_RUNBOOKS.includes(name));
    expect(files.sort()).toEqual([...new Set(alerts.map(({ name }) => fileOf(name)))].sort());
  });

  it('each say what it means, how to look, mend and verify, and when to escalate', async () => {
    for (const name of new Set(alerts.map((alert) => fileOf(alert.name)))) {
      const text = await readFile(join(RUNBOOKS_DIR, name), 'utf8');
      const found = [...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title);
      expect(found, name).toEqual(SECTIONS);
    }
  });

  it('stand in the index', async () => {
    const index = await readFile(join(RUNBOOKS_DIR, 'README.md'), 'utf8');
    for (const { name } of alerts) expect(index).toContain(`[${name}](${fileOf(name)})`);
  });
});

/** `BooksDrift` has its runbook in `books-drift.md`. */
function fileOf(alert: string): string {
  return `${alert.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase()}.md`;
}
