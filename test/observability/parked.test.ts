import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { USAGE_STREAM } from '@arrakis/contracts';
import { natsOptions } from '@arrakis/nats';
import { waitFor } from '@arrakis/testkit';
import { jetstream } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPlatform, type Platform } from '../e2e/support/platform.ts';
import { ROOT } from './support/ops-files.ts';

/** What the runbook of UsageEventsParked tells an operator to do. */

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(() => platform.stop());

async function parked(command: string): Promise<string> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(ROOT, 'scripts/parked.ts'), command],
    { env: { NATS_URL: platform.nats.url, PATH: process.env.PATH ?? '' } },
  );
  return stdout;
}

async function shownByTheWorker(): Promise<number> {
  const text = await (await fetch(`${platform.adminUrls.worker}/metrics`)).text();
  return Number(/^freeside_usage_backlog_events\{state="parked".* (\d+)$/m.exec(text)?.[1]);
}

describe('a usage event that nobody can settle', () => {
  it('shows in the metric, is listed, comes back when replayed, and goes when discarded', async () => {
    const connection = await connect(natsOptions(platform.nats.url, 'test'));
    await jetstream(connection).publish(USAGE_STREAM.subject, 'not an event');
    await connection.close();
    await waitFor(async () => (await shownByTheWorker()) === 1, { timeoutMs: 60_000 });
    expect(await parked('list')).toMatch(/^\d+ \S+Z malformed not an event\nlist: 1 of 1/);

    expect(await parked('replay')).toContain('replay: 1 of 1');
    // As malformed as before: the worker parks it anew.
    await waitFor(async () => (await parked('list')).includes('1 of 1'), { timeoutMs: 60_000 });

    expect(await parked('discard')).toContain('discard: 1 of 1');
    expect(await parked('list')).toBe('list: 0 of 0 parked events\n');
    await waitFor(async () => (await shownByTheWorker()) === 0, { timeoutMs: 60_000 });
  });
});
