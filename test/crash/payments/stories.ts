import type { DeliveryPlan, NoticeGeneration } from '@arrakis/testkit';
import type { Prng } from '../world/prng.ts';
import type { Purchase, Shop } from './types.ts';

/** What becomes of a purchase at the vendor. */
export type Ending = 'finished' | 'refunded' | 'expired' | 'failed' | 'partially_paid';

const PAID = ['waiting', 'confirming', 'confirmed', 'sending', 'finished'];
/** As often told by the vendor: nobody waits for each step. */
const PAID_SOON = ['waiting', 'confirming', 'finished'];

/** What the vendor says of it, in order. */
export function stepsTo(ending: Ending, prng: Prng): readonly string[] {
  const paid = prng.next() < 0.3 ? PAID : PAID_SOON;
  switch (ending) {
    case 'finished':
      return paid;
    case 'refunded':
      return [...paid, 'refunded'];
    case 'expired':
      return ['waiting', 'expired'];
    case 'failed':
      return ['waiting', 'confirming', 'failed'];
    case 'partially_paid':
      return ['waiting', 'confirming', 'partially_paid'];
  }
}

/**
 * Longer than anything stays away, so that a notice is lost only when the vendor gives up. The waits
 * stay short, so that who looks for some seconds has seen them all come.
 */
const RETRY_MS = [300, 700, 1_500, 2_500, ...Array.from({ length: 8 }, () => 4_000)];
const SHARE_OF_REPEATS = 0.33;
/** Ten notices that are kept close a payment for an hour, and its refund may be yet to come. */
const MAX_REPEATS = 3;
/** Of an attempt; the time that it waits for its turn counts. */
const TIMEOUT_MS = 12_000;

export interface Telling {
  /** The notice is on its way for up to so long, and is overtaken by later ones meanwhile. */
  readonly spreadMs: number;
  /** The vendor knows, and its notice is lost. */
  readonly silent?: boolean;
}

/**
 * Moves a payment at the vendor and sends the notice, three of ten times more than once: as two
 * copies of the same moment, or told again later.
 */
export function tell(
  shop: Shop,
  purchase: Purchase,
  status: string,
  { prng, spreadMs, silent = false }: Telling & { readonly prng: Prng },
): void {
  const { vendor } = shop;
  const { atVendor, history } = purchase;
  const draw = prng.next();
  const delay = (): number => prng.int(0, spreadMs);
  const generation: NoticeGeneration = Number(atVendor.paymentId) % 2 === 0 ? 'newer' : 'older';
  const send = (plan: DeliveryPlan): void => {
    vendor.generation = generation;
    vendor.plan = { ...plan, retryMs: RETRY_MS, timeoutMs: TIMEOUT_MS };
    vendor.move(atVendor, status, { ...paidAt(purchase, status), silent });
  };
  const isRepeated = draw < SHARE_OF_REPEATS && purchase.repeats < MAX_REPEATS;
  const isAtOnce = isRepeated && draw < SHARE_OF_REPEATS / 2;
  send({ delayMs: delay(), copies: isAtOnce ? 2 : 1 });
  if (isRepeated && !isAtOnce) send({ delayMs: delay() });
  history.push(status);
  if (isRepeated) purchase.repeats += 1;
}

function paidAt({ atVendor }: Purchase, status: string): { readonly actuallyPaid?: number } {
  if (status === 'partially_paid') return { actuallyPaid: atVendor.payAmount / 2 };
  return status === 'waiting' || status === 'expired' ? {} : { actuallyPaid: atVendor.payAmount };
}
