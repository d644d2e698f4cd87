import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startPrometheus, waitFor, type RunningPrometheus } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readLoadedRules, readTargets } from '../observability/support/prometheus-api.ts';
import { PROMETHEUS_DIR } from '../observability/support/ops-files.ts';
import { prometheusHere } from '../observability/support/prometheus-here.ts';
import { writeScrapeConfig } from '../observability/support/scrape-config.ts';
import { runGates } from './support/gonogo.ts';
import { startStandIn } from './support/stand-in.ts';
import { startWorld, type World } from './support/world.ts';

/** The monitoring gate against a real Prometheus, with the right rules and with bent ones. */

const binaries = await prometheusHere();

describe.skipIf(binaries === undefined)('the monitoring gate', () => {
  let world: World;
  const running: RunningPrometheus[] = [];
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(async () => {
    await Promise.all(running.map((one) => one.stop()));
    await world.stop();
  });

  /** A Prometheus that scrapes the platform; `bend` changes the rules that it loads. */
  const start = async (name: string, bend: (rules: string) => string): Promise<string> => {
    const dir = join(world.dir, name);
    await mkdir(dir);
    const configFile = await writeScrapeConfig(dir, world.adminUrls);
    const rules = bend(await readFile(join(PROMETHEUS_DIR, 'rules.yaml'), 'utf8'));
    await writeFile(join(dir, 'rules.yaml'), rules);
    const config = (await readFile(configFile, 'utf8'))
      .replace(/rule_files: .*/, `rule_files: [${JSON.stringify(join(dir, 'rules.yaml'))}]`)
      .replaceAll(/(scrape_interval|evaluation_interval): 10s/g, '$1: 2s')
      .replace('scrape_timeout: 5s', 'scrape_timeout: 2s');
    await writeFile(configFile, config);
    const prometheus = await startPrometheus({ dir, configFile });
    running.push(prometheus);
    const { url } = prometheus;
    const isSettled = async (): Promise<boolean> => {
      const [targets, loaded] = await Promise.all([readTargets(url), readLoadedRules(url)]);
      return (
        targets.length >= 3 &&
        targets.every(({ health }) => health !== 'unknown') &&
        loaded.every(({ health }) => health !== 'unknown')
      );
    };
    await waitFor(isSettled, { timeoutMs: 60_000, intervalMs: 250 });
    return url;
  };
  const gate = (url: string) => runGates(world, 'monitoring', { PROMETHEUS_URL: url });

  it('passes with our rules, without bending the books', async () => {
    const url = await start('right', (rules) => rules);
    const run = await gate(url);
    expect(run.outcomes, run.output).toEqual(['monitoring pass']);
    expect(run.code).toBe(0);
    const { alert } = run.signed.report.gates[0]!.evidence as { alert: Record<string, number> };
    expect(alert).toMatchObject({ firesWhenViolated: 1, firesWhenQuiet: 0 });
    expect(alert.series).toBeGreaterThan(0);
  });

  it.each<[string, (rules: string) => string, string]>([
    [
      'watches a metric that nobody exposes',
      (rules) => rules.replace('(freeside_conservation_violations)', '(freeside_violations)'),
      'BooksDrift does not watch freeside_conservation_violations',
    ],
    [
      'would never fire',
      (rules) =>
        rules.replace(
          '(freeside_conservation_violations) > 0',
          '(freeside_conservation_violations) > 9',
        ),
      'BooksDrift would not fire on a violation',
    ],
    [
      'always fires',
      (rules) =>
        rules.replace(
          '(freeside_conservation_violations) > 0',
          '(freeside_conservation_violations) >= 0',
        ),
      'BooksDrift would fire without a violation',
    ],
    [
      'is not there',
      (rules) => rules.replace('alert: BooksDrift', 'alert: BooksFine'),
      'BooksDrift is not loaded',
    ],
    [
      'waits too long',
      (rules) =>
        rules.replace(
          '(freeside_conservation_violations) > 0\n',
          '(freeside_conservation_violations) > 0\n        for: 5m\n',
        ),
      'BooksDrift waits 302 s before it fires',
    ],
  ])('fails when the alert %s', async (name, bend, reason) => {
    const url = await start(name.replaceAll(' ', '-'), bend);
    const run = await gate(url);
    await running.pop()?.stop();
    expect(run).toMatchObject({ code: 1, outcomes: ['monitoring fail'] });
    expect(run.reasonOf('monitoring')).toContain(reason);
  });

  it('fails when a process is not scraped', async () => {
    const [right] = running;
    await world.system.process('worker-1').kill('SIGKILL');
    const isDown = async () =>
      (await readTargets(right!.url)).some(({ health }) => health === 'down');
    await waitFor(isDown, { timeoutMs: 30_000, intervalMs: 250 });
    const run = await gate(right!.url);
    await world.system.restart('worker-1');
    expect(run).toMatchObject({ code: 1, outcomes: ['monitoring fail'] });
    expect(run.reasonOf('monitoring')).toContain('targets of freeside-worker not up');
  });

  it('is inconclusive when nobody is there, or somebody else', async () => {
    const other = await startStandIn(200, { status: 'ok' });
    const runs = [await gate('http://127.0.0.1:9'), await gate(other.url)];
    await other.close();
    for (const run of runs) {
      expect(run).toMatchObject({ code: 2, outcomes: ['monitoring inconclusive'] });
    }
  });
});
