import type { VendorPayment } from './vendor-payment.ts';

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escape = (text: string): string => text.replace(/[&<>"']/g, (one) => ENTITIES[one] ?? one);

/** What its buttons do to the payment. */
export const CHECKOUT_ACTIONS = {
  pay: 'Pay',
  underpay: 'Pay half',
  expire: 'Let it expire',
  refund: 'Have it refunded',
} as const;
export type CheckoutAction = keyof typeof CHECKOUT_ACTIONS;

export function isCheckoutAction(text: string): text is CheckoutAction {
  return Object.hasOwn(CHECKOUT_ACTIONS, text);
}

/** A plain page: what is to be paid, how it stands, and buttons that stand for a wallet. */
export function checkoutPage(payment: VendorPayment, successUrl: string | null): string {
  const buttons = Object.entries(CHECKOUT_ACTIONS).map(
    ([action, label]) => `<button name="action" value="${action}">${label}</button>`,
  );
  const back =
    successUrl === null ? '' : `<p><a href="${escape(successUrl)}">Back to the shop</a></p>`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Fake NOWPayments checkout</title>
<h1>${escape(payment.orderDescription ?? 'Payment')}</h1>
<p>To pay: ${String(payment.priceAmount)} ${escape(payment.priceCurrency)} as
${String(payment.payAmount)} ${escape(payment.payCurrency)}. No money moves: this is a fake.</p>
<p>Status: <strong>${escape(payment.status)}</strong></p>
<form method="post">${buttons.join('\n')}</form>
${back}
</html>
`;
}
