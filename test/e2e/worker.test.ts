import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  MODELS,
  call,
  drift,
  receiptOf,
  startPlatform,
  type Platform,
} from './support/platform.ts';

/** What the worker's jobs promise, seen from outside; time passes by moving the past back. */

const SCOUT = '1:0x00000000000000000000000000000000000a11ce:2';
const JOB_TIMEOUT_MS = 40_000;

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(async () => {
  platform.vendor.release();
  expect(await drift(platform)).toEqual([]);
  await platform.stop();
});

async function letTimePass(requestId: string, seconds: number): Promise<void> {
  await platform.db.query(
    `UPDATE freeside.budget_reservations SET created_at = created_at - make_interval(secs => $2),
       progress_at = progress_at - make_interval(secs => $2) WHERE id = $1`,
    [requestId, seconds],
  );
}

async function workerMetric(name: string): Promise<number> {
  const text = await (await fetch(`${platform.adminUrls.worker}/metrics`)).text();
  return Number(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (.+)$`, 'm').exec(text)?.[1]);
}

/** A stream that delivered one token, whose finn is frozen and whose api is gone. */
async function abandonedStream(): Promise<string> {
  platform.vendor.script(MODELS.cheap, { steps: ['one', { hold: true }] });
  const response = await call(platform, '/api/v1/inference', {
    nft_id: SCOUT,
    prompt: 'Count',
    max_tokens: 50,
    stream: true,
  });
  const requestId = response.headers.get('x-request-id')!;
  const status = async () => {
    const { rows } = await platform.db.query<{ status: string }>(
      'SELECT status FROM freeside.budget_reservations WHERE id = $1',
      [requestId],
    );
    return rows[0]?.status;
  };
  await waitFor(async () => (await status()) === 'streaming');
  platform.services.finn.signal('SIGSTOP');
  await platform.services.api.kill('SIGKILL');
  await response.body?.cancel().catch(() => undefined);
  await platform.restart('api');
  return requestId;
}

describe('a stream on which nobody reports', () => {
  it('is settled to what was relayed, and corrected when finn reports after all', async () => {
    const requestId = await abandonedStream();
    await letTimePass(requestId, 130);
    const reconciled = await receiptOf(platform, requestId, JOB_TIMEOUT_MS);
    expect(reconciled).toMatchObject({
      status: 'finalized',
      settledBy: 'reconciliation',
      completionTokens: 1,
    });
    platform.services.finn.signal('SIGCONT');
    const corrected = async () =>
      (await receiptOf(platform, requestId)).settledBy === 'usage_event';
    await waitFor(corrected, { timeoutMs: 20_000 });
    expect(await receiptOf(platform, requestId)).toMatchObject({ status: 'finalized' });
  });
});

describe('a hold on which nobody reports', () => {
  it('is given back whole after five minutes', async () => {
    platform.vendor.script(MODELS.cheap, { holdHeaders: true, steps: ['late'] });
    const abort = new AbortController();
    const asking = call(
      platform,
      '/api/v1/inference',
      { nft_id: SCOUT, prompt: 'Slow', max_tokens: 50 },
      { signal: abort.signal },
    ).catch(() => undefined);
    await waitFor(() => platform.vendor.requests.at(-1)?.outcome === 'open');
    const { rows } = await platform.db.query<{ id: string }>(
      `SELECT id FROM freeside.budget_reservations WHERE status = 'reserved'`,
    );
    const requestId = rows[0]!.id;
    platform.services.finn.signal('SIGSTOP');
    await platform.services.api.kill('SIGKILL');
    abort.abort();
    await asking;
    await platform.restart('api');
    await letTimePass(requestId, 310);
    expect(await receiptOf(platform, requestId, JOB_TIMEOUT_MS)).toMatchObject({
      status: 'orphan_released',
      charge: '0',
    });
    platform.services.finn.signal('SIGCONT');
  });
});

describe('the conservation check', () => {
  it('says 0 while the books balance, and goes up when one balance is bent', async () => {
    const violations = () =>
      workerMetric('freeside_conservation_violations{depth="quick",service="freeside-worker"}');
    await waitFor(async () => (await violations()) === 0, { timeoutMs: JOB_TIMEOUT_MS });
    const bend = (by: number) =>
      platform.db.query(
        `UPDATE freeside.accounts SET balance_micro = balance_micro + $1 WHERE kind = 'spent' AND community_id = $2`,
        [by, platform.communityId],
      );
    await bend(1);
    await waitFor(async () => (await violations()) > 0, { timeoutMs: JOB_TIMEOUT_MS });
    await bend(-1);
    await waitFor(async () => (await violations()) === 0, { timeoutMs: JOB_TIMEOUT_MS });
  });
});
