import { describe, expect, it } from 'vitest';
import { planDeliveries } from './plan.ts';

const PAYMENTS = Array.from({ length: 700 }, (_, n) => `payment-${n}`);
const bodies = (repeats: number): string[] =>
  planDeliveries(PAYMENTS, repeats, 'secret').map(({ body }) => body);

describe('the deliveries of a run', () => {
  it('tell of each payment, in order', () => {
    const first = [...new Set(bodies(0.3))].map((body) => JSON.parse(body) as { order_id: string });
    expect(first.map((told) => told.order_id)).toEqual(PAYMENTS);
  });

  it('have as many repeats among them as was asked for', () => {
    expect(bodies(0)).toHaveLength(700);
    expect(bodies(0.3)).toHaveLength(1_000);
    expect(bodies(0.5)).toHaveLength(1_400);
  });

  it('never tell of one so often that the throttle of a payment shows', () => {
    const times = new Map<string, number>();
    for (const body of bodies(0.7)) times.set(body, (times.get(body) ?? 0) + 1);
    expect(Math.max(...times.values())).toBeLessThanOrEqual(5);
  });
});
