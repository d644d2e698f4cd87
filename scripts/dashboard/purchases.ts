import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { signNotice } from '@arrakis/testkit';
import { IPN_SECRET, type Stage } from './stage.ts';

const PACKS = ['starter', 'standard', 'premium'] as const;
const PRICES = { starter: 5, standard: 10, premium: 25 } as const;
const PAUSE_MS = 3_000;
/** What the vendor tells of a payment, one after the other. */
const PAID = ['waiting', 'confirming', 'confirmed', 'sending', 'finished'];

/** Buys packs until the signal aborts: most are paid, some partly, some refunded; posts are forged in between. */
export async function keepBuying(stage: Stage, signal: AbortSignal): Promise<void> {
  for (let index = 0; !signal.aborted; index += 1) {
    await buyOne(stage, index).catch(() => undefined);
    await forge(stage, index % 4).catch(() => undefined);
    await pause(PAUSE_MS);
  }
}

async function buyOne(stage: Stage, index: number): Promise<void> {
  const pack = PACKS[index % PACKS.length] ?? 'standard';
  const bought = await fetch(`${stage.apiUrl}/api/v1/payments`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${stage.apiKey}`,
      'content-type': 'application/json',
      'idempotency-key': randomUUID(),
    },
    body: JSON.stringify({ pack }),
  });
  if (!bought.ok) return;
  const { id } = (await bought.json()) as { id: string };
  const tell = (status: string, share = 1): Promise<void> =>
    notify(stage, index, { id, price: PRICES[pack], status, share });
  const isPartial = index % 9 === 4;
  for (const status of isPartial ? PAID.slice(0, 2) : PAID) await tell(status);
  if (isPartial) await tell('partially_paid', 0.5);
  // Told once more, as the vendor does when an answer was lost.
  if (index % 4 === 0) await tell('finished');
  if (index % 11 === 7) await tell('refunded');
}

interface Telling {
  readonly id: string;
  readonly price: number;
  readonly status: string;
  readonly share: number;
}

async function notify(stage: Stage, index: number, told: Telling): Promise<void> {
  const notice = {
    payment_id: 5_200_000_000 + index,
    payment_status: told.status,
    price_amount: told.price,
    price_currency: 'usd',
    pay_amount: told.price * 8,
    actually_paid: told.price * 8 * told.share,
    pay_currency: 'trx',
    order_id: told.id,
  };
  await post(stage, JSON.stringify(notice), signNotice(notice, IPN_SECRET));
}

async function forge(stage: Stage, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent += 1) await post(stage, '{}', '0'.repeat(128));
}

async function post(stage: Stage, body: string, signature: string): Promise<void> {
  const answer = await fetch(`${stage.apiUrl}/api/crypto/webhook`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-nowpayments-sig': signature },
    body,
  });
  await answer.text();
}
