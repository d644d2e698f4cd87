import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createPool } from '@arrakis/postgres';
import { runScript, say } from './lib/entry.ts';
import { baseEnv, optionalEnv, optionalSecretEnv } from './lib/env.ts';
import { locateK6 } from './lib/k6.ts';
import { findLoadTarget } from './lib/load-target.ts';
import { PlainError } from './lib/plain-error.ts';

/**
 * `make load SCENARIO=baseline`: runs a k6 scenario against the platform and checks the books after
 * it, those that the API shows and, with DATABASE_URL, the database's own equations.
 */

const ROOT = resolve(import.meta.dirname, '..');
const SCENARIOS = join(ROOT, 'loadtest/k6/scenarios');
const PASSED_ON = ['LOAD_SECONDS', 'LOAD_PEAK', 'LOAD_MODEL', 'LOAD_MAX_TOKENS'] as const;

await runScript('load', async () => {
  const scenario = chooseScenario(process.argv[2] ?? '');
  const k6 = locateK6();
  const { baseUrl, apiKey } = await findLoadTarget();
  const summaries = resolve(ROOT, optionalEnv('LOAD_SUMMARY_DIR') ?? '.arrakis/load');
  const summary = join(summaries, `${scenario}.json`);
  await mkdir(summaries, { recursive: true });
  // An old result must not pass for this run's.
  rmSync(summary, { force: true });
  say(`${scenario} against ${baseUrl}`);
  const code = await runK6(k6, scenario, {
    ...Object.fromEntries(PASSED_ON.map((name) => [name, optionalEnv(name) ?? ''])),
    BASE_URL: baseUrl,
    API_KEY: apiKey,
    LOAD_SUMMARY_DIR: summaries,
  });
  const faults = [...runFaults(code, summary), ...(await bookFaults())];
  if (faults.length > 0) throw new PlainError(`${scenario} failed.`, faults);
  say(`Summary: ${summary}`);
});

function chooseScenario(name: string): string {
  const known = readdirSync(SCENARIOS).map((file) => file.replace(/\.ts$/, ''));
  if (known.includes(name)) return name;
  throw new PlainError(`There is no scenario "${name}".`, [`Say one of: ${known.join(', ')}.`]);
}

/** Address and key go by the environment: a command line is for all the machine to see. */
function runK6(
  k6: string,
  scenario: string,
  settings: Readonly<Record<string, string>>,
): Promise<number> {
  const set = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== ''));
  return new Promise((done, reject) => {
    const child = spawn(k6, ['run', '--quiet', join(SCENARIOS, `${scenario}.ts`)], {
      env: baseEnv({ K6_NO_USAGE_REPORT: 'true', ...set }),
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    child.once('error', reject);
    child.once('close', (code) => done(code ?? 1));
  });
}

function runFaults(code: number, summary: string): string[] {
  const faults =
    code === 0 ? [] : [code === 99 ? 'A threshold was crossed.' : `k6 ended with ${code}.`];
  try {
    const { verdict } = JSON.parse(readFileSync(summary, 'utf8')) as { verdict: string };
    return verdict === 'pass' || code !== 0 ? faults : ['The summary says fail.'];
  } catch {
    return [...faults, 'There is no summary.'];
  }
}

/** The equations that don't hold; nothing without DATABASE_URL. */
async function bookFaults(): Promise<string[]> {
  const url = optionalSecretEnv('DATABASE_URL');
  if (url === undefined) {
    say('The books themselves were not read: DATABASE_URL is not set.');
    return [];
  }
  const pool = createPool({ url, max: 1, applicationName: 'load', onError: () => undefined });
  try {
    const { rows } = await pool.query<{ equation: string; drift: string | null }>(
      `SELECT equation, drift_micro::text AS drift FROM freeside.conservation_full`,
    );
    const drifts = rows.filter(({ drift }) => drift !== '0');
    if (rows.length === 0) return ['The books hold nothing to check.'];
    if (drifts.length === 0) say(`The books: ${rows.length} equations hold.`);
    return drifts.slice(0, 20).map(({ equation, drift }) => `${equation}: off by ${drift ?? '?'}`);
  } finally {
    await pool.end();
  }
}
