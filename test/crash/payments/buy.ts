import { request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { agentFor, headOf, textOf } from '../load/call.ts';
import type { Community, World } from '../types.ts';
import type { BuyingAttempt, Purchase } from './types.ts';

export interface Order {
  readonly community: Community;
  readonly pack: string;
  readonly idempotencyKey: string;
  /** The first replica to ask; the others follow in turn. */
  readonly replica: number;
}

/** An api that waits for a vendor that hangs is left to itself; the key is tried at the other one. */
const DEADLINE_MS = 5_000;
const MAX_TRIES = 40;
const BETWEEN_TRIES_MS = 250;

/**
 * Buys as a careful customer does: repeats with the same key until it is answered, then opens the
 * invoice, so that the vendor has a payment that waits. Every attempt is noted.
 *
 * @throws when nobody has sold it after some seconds
 */
export async function buy(
  world: Pick<World, 'apis' | 'shop'>,
  order: Order,
  attempts: BuyingAttempt[],
): Promise<Purchase> {
  for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
    const { url } = world.apis[(order.replica + attempt) % world.apis.length]!;
    const { noted, checkoutUrl } = await ask(url, order);
    attempts.push(noted);
    if (noted.paymentId !== undefined && checkoutUrl !== undefined) {
      const invoiceId = new URL(checkoutUrl).searchParams.get('iid') ?? '';
      return {
        paymentId: noted.paymentId,
        community: order.community.id,
        pack: order.pack,
        atVendor: world.shop.vendor.openPayment(invoiceId),
        history: [],
        repeats: 0,
      };
    }
    await pause(BETWEEN_TRIES_MS);
  }
  throw new Error(`nobody sold ${order.pack} for ${order.idempotencyKey}`);
}

interface Asked {
  readonly noted: BuyingAttempt;
  readonly checkoutUrl: string | undefined;
}

async function ask(baseUrl: string, order: Order): Promise<Asked> {
  const { community, idempotencyKey, pack } = order;
  const startedAtMs = Date.now();
  const call = request(`${baseUrl}/api/v1/payments`, {
    method: 'POST',
    agent: agentFor(baseUrl),
    headers: {
      authorization: `Bearer ${community.apiKeys[0]}`,
      'content-type': 'application/json',
      'idempotency-key': idempotencyKey,
    },
  });
  const timer = setTimeout(() => call.destroy(new Error('deadline')), DEADLINE_MS);
  call.end(JSON.stringify({ pack }));
  const asked = { community: community.id, idempotencyKey, pack, startedAtMs };
  try {
    const answer = await headOf(call);
    const { statusCode: status = 0, headers } = answer;
    const text = await textOf(answer);
    const after = headers['retry-after'];
    const retryAfter = after === undefined ? undefined : Number(after);
    if (status !== 200 && status !== 201) {
      const noted = { ...asked, status, retryAfter, paymentId: undefined };
      return { noted, checkoutUrl: undefined };
    }
    const sold = JSON.parse(text) as { readonly id: string; readonly checkoutUrl: string };
    return {
      noted: { ...asked, status, retryAfter, paymentId: sold.id },
      checkoutUrl: sold.checkoutUrl,
    };
  } catch {
    const noted = { ...asked, status: undefined, retryAfter: undefined, paymentId: undefined };
    return { noted, checkoutUrl: undefined };
  } finally {
    clearTimeout(timer);
  }
}
