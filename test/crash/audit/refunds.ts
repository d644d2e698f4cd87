import type { Verdict } from '../types.ts';
import { sumOf } from './books.ts';
import { Findings } from './findings.ts';
import type { PaymentBooks, PaymentEventRow } from './payment-books.ts';

export const REFUNDS = 'each refund took back what was left, once, and owes the rest';
export const DEBTS =
  'each debt is what a refund could not take, and purchases pay the oldest first';

/** What refunds took back, and what became of the rest. */
export function auditRefunds(books: PaymentBooks): Verdict[] {
  return [auditTakenBack(books), auditDebts(books)];
}

function auditTakenBack(books: PaymentBooks): Verdict {
  const findings = new Findings(REFUNDS);
  const sums = new Map(books.lotSums.map((row) => [`${row.lot_id} ${row.kind}`, row.amount_micro]));
  const debts = new Map(books.debts.map((debt) => [debt.crypto_payment_id, debt.amount_micro]));
  const eventsOf = Map.groupBy(books.events, (event) => event.crypto_payment_id);
  const refunds = books.payments.filter(({ is_refunded: isRefunded }) => isRefunded);
  let owed = 0n;
  for (const row of books.payments) {
    const { id, community_id: communityId, lot_id: lot } = row;
    const taken = sums.get(`${lot} refund`) ?? 0n;
    const debt = debts.get(id) ?? 0n;
    const told = (eventsOf.get(id) ?? []).filter(({ kind }) => kind === 'refunded');
    const whole = row.is_refunded ? row.credits_micro + row.bonus_micro : 0n;
    owed += debt;
    const isRight =
      taken + debt === whole &&
      -(sums.get(`${lot} adjusted:refund`) ?? 0n) === taken &&
      told.length === (row.is_refunded ? 1 : 0) &&
      sumOf(told, (event) => event.amount_micro) === taken;
    if (isRight) continue;
    findings.violated(
      `${id}: of ${whole} taken back ${taken}, owed ${debt}, told ${told.length} times`,
      { communityId },
    );
  }
  return findings.verdict(`${refunds.length} refunds, ${owed} of them owed`);
}

interface Debt {
  readonly paymentId: string;
  readonly amount: bigint;
  paid: bigint;
}

/** Goes through each community's events once more and reckons what has to be owed. */
function auditDebts(books: PaymentBooks): Verdict {
  const findings = new Findings(DEBTS);
  for (const [communityId, events] of Map.groupBy(books.events, (one) => one.community_id)) {
    const debts = replay(events, (fault) => findings.violated(fault, { communityId }));
    const rows = books.debts.filter((debt) => debt.community_id === communityId);
    const expected = debts.map(({ paymentId, amount, paid }) => `${paymentId} ${paid}/${amount}`);
    const actual = rows.map(
      (row) => `${row.crypto_payment_id} ${row.paid_micro}/${row.amount_micro}`,
    );
    if (expected.join() === actual.join()) continue;
    findings.violated(`owed: ${actual.join()}; should be ${expected.join()}`, { communityId });
  }
  const paid = sumOf(books.debts, (debt) => debt.paid_micro);
  const amount = sumOf(books.debts, (debt) => debt.amount_micro);
  return findings.verdict(`${books.debts.length} debts, ${paid} of ${amount} paid`);
}

/** Each mint pays what is owed then, the oldest first; the events say so one by one. */
function replay(events: readonly PaymentEventRow[], report: (fault: string) => void): Debt[] {
  const debts: Debt[] = [];
  /** What the last mint still has to pay, in this order. */
  let due: { readonly debt: Debt; readonly share: bigint }[] = [];
  for (const event of events) {
    const { amount_micro: amount, crypto_payment_id: paymentId, kind } = event;
    if (kind === 'debt_paid') {
      const next = due.shift();
      if (next?.debt.paymentId !== paymentId || next.share !== amount) {
        report(`${amount} paid for ${paymentId}, not ${next?.share} for ${next?.debt.paymentId}`);
      }
      continue;
    }
    if (due.length > 0) report(`${due.length} debts were not paid before ${kind} ${paymentId}`);
    due = kind === 'minted' ? payOff(debts, amount) : [];
    if (kind === 'indebted') debts.push({ paymentId, amount, paid: 0n });
  }
  if (due.length > 0) report(`${due.length} debts were not paid`);
  return debts;
}

function payOff(debts: readonly Debt[], mintedMicro: bigint) {
  const shares: { readonly debt: Debt; readonly share: bigint }[] = [];
  let left = mintedMicro;
  for (const debt of debts) {
    const owed = debt.amount - debt.paid;
    const share = owed < left ? owed : left;
    if (share === 0n) continue;
    debt.paid += share;
    left -= share;
    shares.push({ debt, share });
  }
  return shares;
}
