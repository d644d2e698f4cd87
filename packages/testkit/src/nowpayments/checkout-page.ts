import type { VendorPayment } from './vendor-payment.ts';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escape = (text: string): string => text.replace(/[&<>"']/g, (one) => ENTITIES[one] ?? one);

/** What its buttons do to the payment; `repeat` pays once more, which makes another one. */
export type CheckoutAction = 'pay' | 'underpay' | 'expire' | 'refund' | 'repeat';

const ACTIONS: readonly CheckoutAction[] = ['pay', 'underpay', 'expire', 'refund', 'repeat'];

/** What a customer could do next. A payment on its way has no buttons: it only has to be waited for. */
const BUTTONS: Readonly<Record<string, readonly (readonly [CheckoutAction, string])[]>> = {
  waiting: [
    ['pay', 'Pay'],
    ['underpay', 'Pay half'],
    ['expire', 'Let it expire'],
  ],
  partially_paid: [['pay', 'Pay the rest']],
  expired: [['pay', 'Pay too late']],
  finished: [
    ['refund', 'Have it refunded'],
    ['repeat', 'Pay once more'],
  ],
};

export function isCheckoutAction(text: string): text is CheckoutAction {
  return ACTIONS.some((action) => action === text);
}

/** The steps from a payment that was made to one that is credited; each is told by a notice. */
export const PAID_STEPS = ['confirming', 'confirmed', 'sending', 'finished'] as const;

/** True for a payment that goes on by itself. */
export function isUnderway(payment: VendorPayment): boolean {
  return ['confirming', 'confirmed', 'sending'].includes(payment.status);
}

/**
 * A plain page: what is to be paid, how it stands, and buttons that stand for a wallet. It asks for
 * itself again while something is on its way.
 *
 * @param repeats what was paid into the same address later
 */
export function checkoutPage(
  payment: VendorPayment,
  repeats: readonly VendorPayment[],
  successUrl: string | null,
): string {
  const buttons = (BUTTONS[payment.status] ?? []).map(
    ([action, label]) => `<button name="action" value="${action}">${label}</button>`,
  );
  const refresh = [payment, ...repeats].some(isUnderway)
    ? '<meta http-equiv="refresh" content="1">\n'
    : '';
  const back =
    successUrl === null ? '' : `<p><a href="${escape(successUrl)}">Back to the shop</a></p>\n`;
  const more = repeats.map((one) => `<p>Paid once more: ${escape(one.status)}</p>\n`).join('');
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
${refresh}<title>Fake NOWPayments checkout</title>
<h1>${escape(payment.orderDescription ?? 'Payment')}</h1>
<p>To pay: ${String(payment.priceAmount)} ${escape(payment.priceCurrency)} as
${String(payment.payAmount)} ${escape(payment.payCurrency)}. No money moves: this is a fake.</p>
<p>Status: <strong>${escape(payment.status)}</strong></p>
${more}<form method="post">${buttons.join('\n')}</form>
${back}</html>
`;
}

/** For an invoice that the fake doesn't have. */
export function unknownInvoicePage(): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Fake NOWPayments checkout</title>
<h1>No such invoice</h1>
<p>This fake doesn't have it. Ask the shop for a new payment, with another idempotency key.</p>
</html>
`;
}
