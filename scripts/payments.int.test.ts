import { fileURLToPath } from 'node:url';
import { createPool } from '@arrakis/postgres';
import { createTestDatabase, spawnService, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { insertCommunity } from '../services/freeside/src/features/api-keys/test-support/community.ts';
import {
  newIntake,
  notice,
  openPayment,
  tell,
} from '../services/freeside/src/features/payments/test-support/payment-fixture.ts';
import { baseEnv } from './lib/env.ts';

const ENTRY = fileURLToPath(new URL('./payments.ts', import.meta.url));

let database: TestDatabase;
let pool: Pool;
let id: string;
beforeAll(async () => {
  database = await createTestDatabase();
  const onError = (): void => undefined;
  pool = createPool({ url: database.appUrl, max: 2, applicationName: 'test', onError });
  const { communityId, userId } = await insertCommunity(pool, { slug: 'arrakeen' });
  id = await openPayment(pool, communityId, userId);
  await tell(newIntake(pool), notice(id, 'partially_paid'));
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

async function run(...args: string[]) {
  const env = baseEnv({ DATABASE_URL: database.appUrl, NODE_NO_WARNINGS: '1' });
  const child = await spawnService({ entry: ENTRY, args, env });
  const { code } = await child.exited;
  return { code, stdout: child.stdout.join('\n'), stderr: child.stderr.join('\n') };
}

describe('the payments command', () => {
  it('goes from the list to the case, resolves it once, and tells who did', async () => {
    const listed = await run('list');
    expect(listed).toMatchObject({ code: 0, stderr: '' });
    expect(listed.stdout).toContain(id);
    const shown = await run('show', id);
    const [, review = ''] = /review {4}(\d+): partially_paid/.exec(shown.stdout) ?? [];
    const [, delivery = ''] = /delivery {2}(\d+)/.exec(shown.stdout) ?? [];
    expect(shown.stdout).not.toContain('TVZ9');

    const by = ['--operator', 'chani', '--reason', 'paid the rest by hand'];
    const resolve = ['resolve', id, '--review', review, '--as', 'mint', ...by];
    expect((await run(...resolve)).stdout).toContain('minted 10500000');
    expect(await run(...resolve)).toMatchObject({ code: 3, stdout: 'Refused: resolved before.' });
    expect((await run('show', id)).stdout).toMatch(
      /operator: minted 10500000 chani paid the rest by hand/,
    );
    expect(await run('replay', delivery)).toMatchObject({ code: 0, stdout: 'stale' });
    expect((await run('list')).stdout).toBe('0 payments');
  });

  it('shows what repeats a payment, what it repeats, and what was set aside', async () => {
    const intake = newIntake(pool);
    const { communityId, userId } = await insertCommunity(pool, { slug: 'carthag' });
    const [first, child, short] = [4242, 4243, 4244];
    const paid = await openPayment(pool, communityId, userId);
    await tell(intake, notice(paid, 'finished', { payment_id: first }));
    await tell(intake, notice(paid, 'finished', { payment_id: child, parent_payment_id: first }));
    const unpaid = await openPayment(pool, communityId, userId);
    await tell(intake, notice(unpaid, 'finished', { payment_id: short, actually_paid: 1 }));
    const resolve = async (payment: string, as: string): Promise<void> => {
      const { stdout } = await run('show', payment);
      const [, review = ''] = /review {4}(\d+):/.exec(stdout) ?? [];
      const by = ['--operator', 'chani', '--reason', 'asked the customer'];
      const { code } = await run('resolve', payment, '--review', review, '--as', as, ...by);
      expect(code).toBe(0);
    };
    await resolve(paid, 'mint');
    const { stdout } = await run('show', paid);
    const [, repeat = ''] =
      /repeat {4}(\S+): finished, credited \(vendor payment 4243\)/.exec(stdout) ?? [];
    expect((await run('show', repeat)).stdout).toContain(`repeats   ${paid}`);
    await resolve(unpaid, 'ignore');
    expect((await run('show', unpaid)).stdout).toMatch(/set aside \d{4}-/);
  });

  it.each([
    [[], 'say list'],
    [['list', 'odd'], 'stuck, review or all'],
    [['show', 'x'], 'id of a payment'],
    [['replay', '-1'], ''],
    [['replay', '1x'], 'number of a delivery'],
    [['resolve', '00000000-0000-7000-8000-000000000000', '--as', 'gift'], '--as takes'],
    [['resolve', '00000000-0000-7000-8000-000000000000', '--as', 'mint'], '--operator'],
  ])('refuses %j without touching the database', async (args, told) => {
    const { code, stderr } = await run(...args);
    expect(code).toBe(2);
    expect(stderr).toContain(told);
  });

  it('says so when there is nothing of that name', async () => {
    const nobody = '00000000-0000-7000-8000-000000000000';
    expect((await run('show', nobody)).code).toBe(3);
    expect((await run('replay', '99')).code).toBe(3);
  });
});
