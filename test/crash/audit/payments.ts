import type { PaymentEvidence, Purchase } from '../payments/types.ts';
import type { Verdict } from '../types.ts';
import { Findings } from './findings.ts';
import type { DeliveryRow, PaymentBooks, PaymentRow } from './payment-books.ts';

export const SOLD_ONCE = 'each purchase that was answered 2xx is in the books, one for each key';
export const POLITE_SHOP = 'each purchase that could not be made says when to come back';
export const NOTICES_KEPT = 'each notice that was answered 2xx is in the books';
export const PAYMENT_STATES = 'each payment stands where the vendor left it';
export const MINTED_ONCE = 'each payment that finished was credited once, as agreed, and no other';
export const FINISH_HEARD = 'nothing was credited of which the vendor did not say that it finished';

/** The books of payments against what buyers and the vendor know. */
export function auditPayments(books: PaymentBooks, evidence: PaymentEvidence): Verdict[] {
  return [
    auditSold(books, evidence),
    auditPoliteness(evidence),
    auditNotices(books, evidence),
    auditStates(books, evidence),
    auditMints(books),
    auditFinishes(books, evidence),
  ];
}

function auditSold(books: PaymentBooks, { attempts, purchases }: PaymentEvidence): Verdict {
  const findings = new Findings(SOLD_ONCE);
  const rows = new Map(books.payments.map((row) => [row.id, row]));
  const sold = new Map<string, string>();
  for (const { community: communityId, idempotencyKey, pack, paymentId } of attempts) {
    if (paymentId === undefined) continue;
    const key = `${communityId} ${idempotencyKey}`;
    const row = rows.get(paymentId);
    const isTheSame =
      row?.community_id === communityId &&
      row.idempotency_key === idempotencyKey &&
      row.pack_id === pack &&
      (sold.get(key) ?? paymentId) === paymentId;
    if (!isTheSame) findings.violated(`${key} was answered with ${paymentId}`, { communityId });
    sold.set(key, paymentId);
  }
  const asked = new Set(attempts.map((one) => `${one.community} ${one.idempotencyKey}`));
  for (const row of books.payments) {
    if (asked.has(`${row.community_id} ${row.idempotency_key}`)) continue;
    findings.violated(`nobody asked for ${row.id}`, { communityId: row.community_id });
  }
  return findings.verdict(`${purchases.length} purchases, ${attempts.length} attempts`);
}

function auditPoliteness({ attempts }: PaymentEvidence): Verdict {
  const findings = new Findings(POLITE_SHOP);
  const failed = attempts.filter(({ status }) => status !== undefined && status >= 300);
  for (const { community: communityId, idempotencyKey, retryAfter, status } of failed) {
    if (status === 503 && (retryAfter ?? 0) > 0) continue;
    findings.violated(`${idempotencyKey} was answered ${status}`, { communityId });
  }
  return findings.verdict(`${failed.length} were told to come back`);
}

/** As many rows as there were answers, for each text of a notice. */
function auditNotices(books: PaymentBooks, { answered }: PaymentEvidence): Verdict {
  const findings = new Findings(NOTICES_KEPT);
  const kept = Map.groupBy(books.deliveries, (row) => row.body_hash);
  for (const [hash, answers] of Map.groupBy(answered, (one) => one.bodyHash)) {
    const rows = (kept.get(hash) ?? []).filter(({ source }) => source === 'webhook');
    if (rows.length >= answers.length) continue;
    const { paymentId, status } = answers[0]!;
    findings.violated(`${status} of ${paymentId}: ${answers.length} taken, ${rows.length} kept`);
  }
  return findings.verdict(`${answered.length} notices, ${books.deliveries.length} kept`);
}

/**
 * Where a payment has to be at last. A refund that the vendor tells of by itself, its finish lost, is
 * no finish: it waits for an operator. One that the vendor gave up telling can't be known: what has
 * finished is not asked about.
 */
export function expectedStatus(purchase: Purchase, heard: readonly DeliveryRow[]): string {
  const last = purchase.history.at(-1) ?? 'waiting';
  const isHeard = (status: string): boolean => heard.some((row) => row.told_status === status);
  if (last !== 'refunded') return last;
  if (!isHeard('finished')) return 'unheard';
  return isHeard('refunded') ? 'refunded' : 'finished';
}

function auditStates(books: PaymentBooks, { purchases }: PaymentEvidence): Verdict {
  const findings = new Findings(PAYMENT_STATES);
  const rows = new Map(books.payments.map((row) => [row.id, row]));
  const heard = Map.groupBy(books.deliveries, (row) => row.crypto_payment_id);
  const openReviews = Map.groupBy(
    books.reviews.filter((row) => row.is_open),
    (row) => row.crypto_payment_id,
  );
  const counts = new Map<string, number>();
  for (const purchase of purchases) {
    const { community: communityId, paymentId } = purchase;
    const row = rows.get(paymentId);
    const expected = expectedStatus(purchase, heard.get(paymentId) ?? []);
    counts.set(expected, (counts.get(expected) ?? 0) + 1);
    const reviews = (openReviews.get(paymentId) ?? []).map(({ reason }) => reason);
    const fault = faultOfState(row, expected, reviews);
    if (fault === undefined) continue;
    const told = purchase.history.join(', ');
    findings.violated(`${paymentId} (told ${told}) ${fault}`, { communityId });
  }
  return findings.verdict([...counts].map(([status, count]) => `${count} ${status}`).join(', '));
}

const REVIEWS_OF: Readonly<Record<string, readonly string[]>> = {
  partially_paid: ['partially_paid'],
  unheard: ['refund_before_finish'],
};

function faultOfState(
  row: PaymentRow | undefined,
  expected: string,
  reviews: readonly string[],
): string | undefined {
  if (row === undefined) return 'is not there';
  if (expected !== 'unheard' && row.status !== expected) {
    return `is ${row.status}, not ${expected}`;
  }
  const wanted = REVIEWS_OF[expected] ?? [];
  if (reviews.join() !== wanted.join()) {
    return `waits for ${reviews.join() || 'nothing'}, not for ${wanted.join() || 'nothing'}`;
  }
  const isCredited = expected === 'finished' || expected === 'refunded';
  if (row.is_minted !== isCredited) return row.is_minted ? 'was credited' : 'was not credited';
  if (row.is_refunded !== (expected === 'refunded')) return 'was refunded, or was not';
  return undefined;
}

/** One lot, one mint, one bonus; nothing bought without a payment behind it. */
function auditMints(books: PaymentBooks): Verdict {
  const findings = new Findings(MINTED_ONCE);
  const mints = Map.groupBy(
    books.events.filter(({ kind }) => kind === 'minted'),
    (event) => event.crypto_payment_id,
  );
  const lots = Map.groupBy(books.lots, (lot) => paymentOf(lot.source_ref));
  const sums = new Map(books.lotSums.map((row) => [`${row.lot_id} ${row.kind}`, row.amount_micro]));
  for (const row of books.payments) {
    const communityId = row.community_id;
    const own = lots.get(row.id) ?? [];
    lots.delete(row.id);
    const events = mints.get(row.id) ?? [];
    const count = row.is_minted ? 1 : 0;
    if (own.length !== count || events.length !== count) {
      findings.violated(`${row.id} has ${own.length} lots and ${events.length} mints`, {
        communityId,
      });
      continue;
    }
    const [lot] = own;
    if (lot === undefined) continue;
    const paid = sums.get(`${lot.lot_id} mint`) ?? 0n;
    const bonus = sums.get(`${lot.lot_id} bonus`) ?? 0n;
    const isAsAgreed =
      lot.lot_id === row.lot_id &&
      lot.community_id === communityId &&
      lot.original_micro === row.credits_micro + row.bonus_micro &&
      paid === row.credits_micro &&
      bonus === row.bonus_micro;
    if (!isAsAgreed) {
      findings.violated(
        `${row.id} agreed on ${row.credits_micro} + ${row.bonus_micro}, got ${paid} + ${bonus}`,
        { communityId },
      );
    }
  }
  for (const [paymentId, [lot]] of lots) {
    findings.violated(`a lot of ${lot?.original_micro ?? 0n} belongs to no payment: ${paymentId}`);
  }
  return findings.verdict(`${books.lots.length} credited of ${books.payments.length} payments`);
}

/** What a purchase's lot is named after. */
function paymentOf(sourceRef: string): string {
  return sourceRef.slice('payment:'.length, 'payment:'.length + 36);
}

/** Kept as told, and really told: the vendor itself knows of the finish. */
function auditFinishes(books: PaymentBooks, { purchases }: PaymentEvidence): Verdict {
  const findings = new Findings(FINISH_HEARD);
  const heard = new Set(
    books.deliveries
      .filter((row) => row.told_status === 'finished')
      .map((row) => row.crypto_payment_id),
  );
  const finished = new Set(
    purchases
      .filter(({ history }) => history.includes('finished'))
      .map(({ paymentId }) => paymentId),
  );
  for (const { id, community_id: communityId, is_minted: isMinted } of books.payments) {
    if (!isMinted || (heard.has(id) && finished.has(id))) continue;
    findings.violated(`${id} was credited`, { communityId });
  }
  return findings.verdict(`${heard.size} finishes heard, ${finished.size} told`);
}
