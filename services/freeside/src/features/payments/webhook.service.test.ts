import type { Queryable } from '@arrakis/postgres';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { signNotice } from '@arrakis/testkit';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createPaymentEvents } from './events.ts';
import { PaymentIntake } from './intake.service.ts';
import { IpnVerifier } from './ipn-signature.ts';
import { WebhookService } from './webhook.service.ts';

const SECRET = 's';
const TOLD = {
  payment_id: 1,
  payment_status: 'finished',
  price_amount: 10,
  price_currency: 'usd',
  order_id: '0190a0a0-0000-7000-8000-000000000001',
};

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A database that says nothing until it is told what. */
function open() {
  const waiting = Promise.withResolvers<never>();
  const db = { query: () => waiting.promise } as unknown as Queryable;
  const registry = createRegistry('test');
  const events = createPaymentEvents(registry, createLogger({ service: 'test', level: 'silent' }));
  const intake = new PaymentIntake({ db, events });
  const webhook = new WebhookService({ intake, events, verifier: new IpnVerifier(SECRET) });
  const post = (told: object) =>
    webhook.receive({
      raw: Buffer.from(JSON.stringify(told)),
      signature: signNotice(told, SECRET),
      remoteAddress: '192.0.2.1',
    });
  const total = async (name: string, labels: object = {}): Promise<number> => {
    const { values = [] } = (await registry.getSingleMetric(name)?.get()) ?? {};
    const found = values.filter(
      (one) =>
        Object.entries(labels).every(([label, value]) => one.labels[label] === value) &&
        !('metricName' in one && one.metricName !== `${name}_count`),
    );
    return found.reduce((sum, { value }) => sum + value, 0);
  };
  // The metrics keep one of their own.
  const timersBefore = vi.getTimerCount();
  const timersLeft = (): number => vi.getTimerCount() - timersBefore;
  return { fail: waiting.reject, post, total, timersLeft };
}

describe('a notice that the database keeps waiting', () => {
  it.each([
    ['that can be read', TOLD],
    ['that can’t', { ...TOLD, price_amount: 'ten' }],
  ])('%s is put off before the vendor hangs up, however it ends', async (_, told) => {
    const { fail, post, total, timersLeft } = open();
    const refusals: unknown[] = [];
    const answering = post(told).catch((refusal: unknown) => refusals.push(refusal));
    await vi.advanceTimersByTimeAsync(2_600);
    expect(refusals).toEqual([]);
    await vi.advanceTimersByTimeAsync(300);
    await answering;
    expect(refusals).toMatchObject([
      { code: 'service_unavailable', headers: { 'retry-after': '5' } },
    ]);
    // Nobody waits for it any more, and nobody trips over it.
    fail(new Error('late'));
    await vi.advanceTimersByTimeAsync(1);
    const reason = { reason: 'unavailable' };
    expect(await total('freeside_payment_webhook_refusals_total', reason)).toBe(1);
    expect(await total('freeside_payment_webhook_refusals_total')).toBe(1);
    expect(await total('freeside_payment_webhook_duration_seconds')).toBe(1);
    expect(timersLeft()).toBe(0);
  });

  it('leaves no timer behind when it fails in time, and is measured as well', async () => {
    const { fail, post, total, timersLeft } = open();
    const answering = post(TOLD);
    fail(Object.assign(new Error('x'), { code: '55P03' }));
    await expect(answering).rejects.toMatchObject({ code: 'service_unavailable' });
    expect(timersLeft()).toBe(0);
    expect(await total('freeside_payment_webhook_duration_seconds')).toBe(1);
  });
});
