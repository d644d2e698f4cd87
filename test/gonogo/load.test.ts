import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { locateK6 } from '../../scripts/lib/k6.ts';
import { PlainError } from '../../scripts/lib/plain-error.ts';
import { startStandIn } from './support/stand-in.ts';
import { modelOf, startWorld, type World } from './support/world.ts';

/** The load scenarios, short, against real processes: green when all is well, else red. */

const ROOT = resolve(import.meta.dirname, '../..');

function isHere(): boolean {
  try {
    return locateK6() !== '';
  } catch (error) {
    // No package manager that we use has k6, so a bare machine goes without.
    const how = error instanceof PlainError ? error.advice.join('\n  ') : '';
    process.stderr.write(
      `\nSKIPPED, the load scenarios are not tested: there is no k6.\n  ${how}\n\n`,
    );
    return false;
  }
}

interface Summary {
  readonly verdict: string;
  readonly crossed: readonly string[];
  readonly metrics: Readonly<Record<string, { readonly values: Readonly<Record<string, number>> }>>;
}

describe.skipIf(!isHere())('make load', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(async () => {
    await world.stop();
  });

  const load = (scenario: string, changes: Readonly<Record<string, string>> = {}) =>
    new Promise<{ code: number; output: string }>((done) => {
      const env = {
        PATH: process.env.PATH ?? '',
        HOME: process.env.HOME ?? '',
        LOAD_URL: world.apiUrl,
        LOAD_API_KEY: world.apiKey,
        LOAD_SUMMARY_DIR: join(world.dir, 'load'),
        LOAD_SECONDS: '5',
        DATABASE_URL: world.appDatabaseUrl,
        ...changes,
      };
      execFile(
        process.execPath,
        [join(ROOT, 'scripts/load.ts'), scenario],
        { env },
        (error, out, err) => {
          done({
            code: typeof error?.code === 'number' ? error.code : error ? -1 : 0,
            output: out + err,
          });
        },
      );
    });
  const summaryOf = async (scenario: string): Promise<Summary> =>
    JSON.parse(await readFile(join(world.dir, 'load', `${scenario}.json`), 'utf8')) as Summary;

  it('passes smoke, with answers, exact books and the key nowhere in what it writes', async () => {
    const { code, output } = await load('smoke');
    expect(code, output).toBe(0);
    const summary = await summaryOf('smoke');
    expect(summary.metrics.answers!.values.count).toBe(4);
    expect(summary.metrics.books_difference!.values.count).toBe(0);
    expect(output).toMatch(/The books: \d+ equations hold/);
    expect(output + JSON.stringify(summary)).not.toContain(world.apiKey);
  });

  it('passes baseline with ten users at once, and tells the first token from the whole', async () => {
    world.vendor.script(modelOf('cheap'), { steps: ['one', { waitMs: 500 }, ' two'] });
    const { code, output } = await load('baseline');
    world.vendor.script(modelOf('cheap'), {});
    expect(code, output).toBe(0);
    process.stdout.write(output);
    const { metrics } = await summaryOf('baseline');
    expect(metrics.answers!.values.count).toBeGreaterThan(10);
    const firstToken = metrics.time_to_first_token!.values;
    expect(firstToken.min).toBeGreaterThan(0);
    expect(firstToken.min).toBeLessThan(metrics.answer_duration!.values.min! - 250);
    expect(world.vendor.peakConcurrent).toBeGreaterThanOrEqual(8);
  });

  it('fails at a wrong address', async () => {
    const { code, output } = await load('smoke', { LOAD_URL: 'http://127.0.0.1:9' });
    expect(code).not.toBe(0);
    expect(output).toContain('smoke failed');
  });

  it('fails at a server that says 200 to everything', async () => {
    const everybody = await startStandIn(200, {
      data: [{ id: 'x' }],
      usage: { completion_tokens: 1 },
    });
    const { code } = await load('smoke', { LOAD_URL: everybody.url });
    await everybody.close();
    expect(code).not.toBe(0);
  });

  it('fails when the balance is bent, in what the API shows and in the books', async () => {
    const bend = (by: number) =>
      world.db.query(
        `UPDATE freeside.accounts SET balance_micro = balance_micro + $1 WHERE kind = 'spent' AND community_id = $2`,
        [by, world.communityId],
      );
    await bend(1);
    const { code, output } = await load('smoke');
    await bend(-1);
    expect(code).not.toBe(0);
    expect((await summaryOf('smoke')).crossed).toContain('books_balanced: rate==1');
    expect(output).toMatch(/off by 1/);
  });

  it('fails when somebody else spends from the same balance', async () => {
    let isOver = false;
    const others = async (): Promise<void> => {
      while (!isOver) {
        const response = await fetch(`${world.apiUrl}/v1/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${world.apiKey}`, 'content-type': 'application/json' },
          body: JSON.stringify({
            model: 'market-scout@cheap',
            messages: [{ role: 'user', content: 'And me?' }],
          }),
        });
        await response.text();
      }
    };
    const traffic = others();
    const { code } = await load('smoke');
    isOver = true;
    await traffic;
    expect(code).not.toBe(0);
    expect((await summaryOf('smoke')).crossed).toContain('books_difference: count==0');
  });

  it('refuses a scenario that is not there', async () => {
    const { code, output } = await load('nothing');
    expect(code).toBe(1);
    expect(output).toContain('baseline, ramp, smoke');
  });

  // The last one: the breaker of that pool stays open for a while.
  it('fails when answers fail', async () => {
    world.vendor.script(modelOf('cheap'), { status: 500 });
    const { code } = await load('smoke');
    world.vendor.script(modelOf('cheap'), {});
    expect(code).not.toBe(0);
    expect((await summaryOf('smoke')).crossed).toContain('answer_failed: rate==0');
  });
});
