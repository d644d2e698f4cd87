import { randomUUID } from 'node:crypto';
import type { Problem } from '@arrakis/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Harness, type TestKey } from '../inference/test-support/harness.ts';
import { BillingService } from './service.ts';

const BALANCE = '/api/v1/balance';
const usage = (id: string): string => `/api/v1/usage/${id}`;

let harness: Harness;
let key: TestKey;
let stranger: TestKey;

beforeAll(async () => {
  harness = await Harness.start();
  key = await harness.openCommunity();
  stranger = await harness.openCommunity();
  await harness.addAgent(stranger, 'eve');
});
afterAll(async () => {
  expect(await harness.undocumentedAnswers()).toEqual([]);
  await harness.stop();
});

async function get(path: string, authorization?: string): Promise<[number, Problem]> {
  const headers = authorization === undefined ? undefined : { authorization };
  const response = await fetch(`${harness.url}${path}`, headers && { headers });
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  return [response.status, (await response.json()) as Problem];
}
const bearer = (of: TestKey): string => `Bearer ${of.cleartext}`;

describe('the books of a community', () => {
  it.each([BALANCE, usage(randomUUID())])('at %s are for keys only', async (path) => {
    for (const authorization of [undefined, 'Basic abc', 'Bearer sk-abc']) {
      expect(await get(path, authorization)).toMatchObject([401, { code: 'unauthorized' }]);
    }
    const unknown = `Bearer lf_live_${'a'.repeat(12)}_${'b'.repeat(32)}`;
    expect(await get(path, unknown)).toMatchObject([401, { code: 'invalid_api_key' }]);
  });

  it('never tell of another community’s request', async () => {
    const body = { nft_id: 'eve', prompt: 'Hi' };
    const response = await harness.post('/api/v1/inference', stranger, body);
    const { id } = (await response.json()) as { id: string };
    const answers = await Promise.all(
      [id, randomUUID()].map(async (one) => {
        const [, problem] = await get(usage(one), bearer(key));
        return { ...problem, requestId: '' };
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toMatchObject({ status: 404, code: 'not_found' });
  });

  it.each([
    'x',
    '00000000-0000-7000-8000-00000000000Z',
    '%27%20OR%201%3D1',
    '%F0%9F%A6%84',
    `${randomUUID()}%2f..`,
  ])('name the field when the id of a request is %s', async (id) => {
    const [status, problem] = await get(usage(id), bearer(key));
    expect(status).toBe(400);
    expect(problem.errors).toMatchObject([{ field: 'path:requestId' }]);
  });

  it('answer with what may be tried later when the ledger is away', async () => {
    const lost = Object.assign(new Error('connection lost'), { code: 'ECONNREFUSED' });
    const billing = new BillingService({ query: () => Promise.reject(lost) });
    for (const reading of [billing.balance('c'), billing.receipt('c', randomUUID())]) {
      await expect(reading).rejects.toMatchObject({
        code: 'service_unavailable',
        headers: { 'retry-after': '1' },
      });
    }
  });
});
