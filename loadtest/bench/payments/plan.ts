import { randomInt } from 'node:crypto';
import { signNotice } from '@arrakis/testkit';

/** A post as it goes over the wire. */
export interface Delivery {
  readonly body: string;
  readonly signature: string;
}

/** Repeats come from this many notices back: retries soon after, among them some at the same time. */
const REPEATED_AMONG = 50;

let lastVendorPayment = Date.now() * 1000;

function finished(orderId: string): object {
  lastVendorPayment += 1;
  return {
    payment_id: lastVendorPayment,
    parent_payment_id: null,
    invoice_id: null,
    payment_status: 'finished',
    pay_address: 'TVZ9nJvFAUKGwM3PLoCmRBm4nk5p8LxVEx',
    price_amount: 10,
    price_currency: 'usd',
    pay_amount: 80.5,
    actually_paid: 80.5,
    pay_currency: 'trx',
    order_id: orderId,
    order_description: 'Standard',
    purchase_id: '4444949483',
    outcome_amount: 79.9,
    outcome_currency: 'trx',
    payin_extra_id: null,
    fee: { currency: 'btc', depositFee: 0.09853637216235617, withdrawalFee: 0, serviceFee: 0 },
  };
}

/**
 * Each payment's notice once, in order, and between them repeats, each of one of the last few, so
 * that `repeats` of all are repeats; evenly mixed, never more than five of one.
 */
export function planDeliveries(
  payments: readonly string[],
  repeats: number,
  ipnSecret: string,
): Delivery[] {
  const plan: Delivery[] = [];
  const recent: { readonly delivery: Delivery; left: number }[] = [];
  let owed = 0;
  for (const id of payments) {
    const told = finished(id);
    const delivery = { body: JSON.stringify(told), signature: signNotice(told, ipnSecret) };
    plan.push(delivery);
    recent.push({ delivery, left: 4 });
    if (recent.length > REPEATED_AMONG) recent.shift();
    for (owed += repeats / (1 - repeats); owed >= 1; owed -= 1) {
      const rested = recent.filter(({ left }) => left > 0);
      const chosen = rested[randomInt(rested.length)];
      if (chosen === undefined) continue;
      chosen.left -= 1;
      plan.push(chosen.delivery);
    }
  }
  return plan;
}
