import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPrometheus, waitFor, type RunningPrometheus } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, startPlatform, type Platform } from '../e2e/support/platform.ts';
import { readRules } from './support/ops-files.ts';
import {
  readAlerts,
  readLoadedRules,
  readTargets,
  type ActiveAlert,
} from './support/prometheus-api.ts';
import { prometheusHere } from './support/prometheus-here.ts';
import { writeScrapeConfig } from './support/scrape-config.ts';

/** A real Prometheus with our rules, scraping real processes: somebody is told within a minute. */

const SCOUT = '1:0x00000000000000000000000000000000000a11ce:2';
/** From the wrong balance to the firing alert, scrape, job and evaluation included. */
const PROMISED_MS = 60_000;

const binaries = await prometheusHere();

describe.skipIf(binaries === undefined)('a Prometheus that scrapes the platform', () => {
  let platform: Platform;
  let prometheus: RunningPrometheus;
  let dir: string;

  beforeAll(async () => {
    platform = await startPlatform();
    dir = await mkdtemp(join(tmpdir(), 'arrakis-prometheus-'));
    const configFile = await writeScrapeConfig(dir, platform.adminUrls);
    prometheus = await startPrometheus({ dir, configFile });
  });
  afterAll(async () => {
    await prometheus.stop();
    await platform.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const firing = async (): Promise<readonly ActiveAlert[]> =>
    (await readAlerts(prometheus.url)).filter(({ state }) => state === 'firing');
  const drift = async (): Promise<ActiveAlert | undefined> =>
    (await firing()).find(({ labels }) => labels.alertname === 'BooksDrift');
  const bend = (by: number) =>
    platform.db.query(
      `UPDATE freeside.accounts SET balance_micro = balance_micro + $1 WHERE kind = 'spent' AND community_id = $2`,
      [by, platform.communityId],
    );

  it('reads the rules that the tests read', async () => {
    const loaded = await readLoadedRules(prometheus.url);
    // Prometheus sorts labels and sets its own spaces and brackets.
    const squeezed = (text: string) =>
      text
        .replace(/[\s()]+/g, '')
        .replace(/\{([^}]*)\}/g, (_, labels: string) => labels.split(',').sort().join());
    const ours = (await readRules()).map(({ name, expr }) => `${name} ${squeezed(expr)}`);
    expect(loaded.map(({ name, query }) => `${name} ${squeezed(query)}`).sort()).toEqual(
      ours.sort(),
    );
  });

  it('scrapes all three processes and has nothing to say while all is well', async () => {
    await call(platform, '/api/v1/inference', { nft_id: SCOUT, prompt: 'Hi', max_tokens: 20 });
    const jobs = ['finn', 'freeside-api', 'freeside-worker'];
    const targetsUp = async () => {
      const targets = await readTargets(prometheus.url);
      return targets.filter(({ health }) => health === 'up').map(({ job }) => job);
    };
    await waitFor(async () => (await targetsUp()).length === jobs.length, {
      timeoutMs: 60_000,
      intervalMs: 250,
    });
    expect((await targetsUp()).sort()).toEqual(jobs);
    const evaluated = async () =>
      (await readLoadedRules(prometheus.url)).every(({ health }) => health === 'ok');
    await waitFor(evaluated, { timeoutMs: 60_000, intervalMs: 250 });
    expect(await firing()).toEqual([]);
  });

  it('fires within a minute when one balance is bent by one micro-credit, until it is mended', async () => {
    const bentAtMs = performance.now();
    await bend(1);
    const alert = await waitFor(drift, { timeoutMs: PROMISED_MS, intervalMs: 100 });
    const tookMs = performance.now() - bentAtMs;
    process.stdout.write(`BooksDrift fired ${(tookMs / 1000).toFixed(1)} s after the change\n`);
    expect(alert.labels).toMatchObject({ severity: 'critical', depth: 'quick' });
    expect(alert.annotations.runbook_url).toBe('docs/runbooks/books-drift.md');
    expect((await firing()).map(({ labels }) => labels.alertname)).toEqual(['BooksDrift']);

    await bend(-1);
    await waitFor(async () => (await drift()) === undefined, {
      timeoutMs: PROMISED_MS,
      intervalMs: 100,
    });
  });
});
