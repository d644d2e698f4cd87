import { createLogger, createRegistry } from '@arrakis/service-kit';
import { describe, expect, it } from 'vitest';
import { createPaymentEvents } from './events.ts';

const logger = createLogger({ service: 'test', level: 'silent' });

async function exposed(registry: ReturnType<typeof createRegistry>, name: string) {
  const text = await registry.metrics();
  return text
    .split('\n')
    .filter((line) => line.startsWith(name) && !line.endsWith(' 0'))
    .map((line) => Number(line.slice(line.lastIndexOf(' '))));
}

describe('the metrics of payments', () => {
  it('tell of no debt before it was counted, and then what was counted', async () => {
    const registry = createRegistry('test');
    const events = createPaymentEvents(registry, logger);
    const gauge = 'freeside_payment_debt_open_micro';
    expect(await registry.metrics()).not.toMatch(new RegExp(`^${gauge}`, 'm'));
    const none = { open: 0, stuck: 0, reviews: 0 };
    const ages = { oldestOpenSeconds: 0, oldestStuckSeconds: 0, oldestReviewSeconds: 0 };
    events.measured({ ...none, ...ages, debtMicro: 4_000_000n });
    expect(await exposed(registry, gauge)).toEqual([4_000_000]);
    events.measured({ ...none, ...ages, debtMicro: 0n });
    expect(await registry.metrics()).toMatch(new RegExp(`^${gauge}\\S* 0$`, 'm'));
  });

  it('count a payment of two orders as that, and not as a refused post as well', async () => {
    const registry = createRegistry('test');
    createPaymentEvents(registry, logger).conflicting('id', new Error('x'));
    expect(await exposed(registry, 'freeside_payment_conflicts_total')).toEqual([1]);
    expect(await exposed(registry, 'freeside_payment_webhook_refusals_total')).toEqual([]);
  });
});
