/** A payment as the vendor has it. Amounts are numbers, as in its own JSON. */
export interface VendorPayment {
  readonly paymentId: string;
  readonly invoiceId: string;
  readonly parentPaymentId: string | null;
  readonly orderId: string | null;
  readonly orderDescription: string | null;
  readonly priceAmount: number;
  readonly priceCurrency: string;
  readonly payCurrency: string;
  readonly payAmount: number;
  readonly ipnCallbackUrl: string | null;
  readonly createdAt: Date;
  actuallyPaid: number;
  status: string;
  updatedAt: Date;
}

/** `older`: with its moments, until 2022. `newer`: with invoice, parent and fee, and no moments. */
export type NoticeGeneration = 'older' | 'newer';

const ADDRESS = 'TVZ9nJvFAUKGwM3PLoCmRBm4nk5p8LxVEx';

/** The body of a notice, its members in the order in which the vendor writes them. */
export function noticeOf(payment: VendorPayment, generation: NoticeGeneration): object {
  return generation === 'older' ? olderNotice(payment) : newerNotice(payment);
}

function olderNotice(payment: VendorPayment): object {
  return {
    payment_id: Number(payment.paymentId),
    payment_status: payment.status,
    pay_address: ADDRESS,
    price_amount: payment.priceAmount,
    price_currency: payment.priceCurrency,
    pay_amount: payment.payAmount,
    actually_paid: payment.actuallyPaid,
    pay_currency: payment.payCurrency,
    order_id: payment.orderId,
    order_description: payment.orderDescription,
    purchase_id: payment.invoiceId,
    created_at: payment.createdAt.toISOString(),
    updated_at: payment.updatedAt.toISOString(),
    outcome_amount: payment.actuallyPaid * 0.995,
    outcome_currency: payment.payCurrency,
  };
}

function newerNotice(payment: VendorPayment): object {
  return {
    payment_id: Number(payment.paymentId),
    parent_payment_id: payment.parentPaymentId === null ? null : Number(payment.parentPaymentId),
    invoice_id: Number(payment.invoiceId),
    payment_status: payment.status,
    pay_address: ADDRESS,
    payin_extra_id: null,
    price_amount: payment.priceAmount,
    price_currency: payment.priceCurrency,
    pay_amount: payment.payAmount,
    actually_paid: payment.actuallyPaid,
    actually_paid_at_fiat: 0,
    pay_currency: payment.payCurrency,
    order_id: payment.orderId,
    order_description: payment.orderDescription,
    purchase_id: payment.invoiceId,
    outcome_amount: payment.actuallyPaid * 0.995,
    outcome_currency: payment.payCurrency,
    payment_extra_ids: null,
    fee: { currency: payment.payCurrency, depositFee: 0.0985363, withdrawalFee: 0, serviceFee: 0 },
  };
}

/** What `GET /v1/payment/:id` and the list answer. */
export function statusOf(payment: VendorPayment): object {
  return {
    payment_id: Number(payment.paymentId),
    parent_payment_id: payment.parentPaymentId === null ? null : Number(payment.parentPaymentId),
    invoice_id: Number(payment.invoiceId),
    payment_status: payment.status,
    pay_address: ADDRESS,
    payin_extra_id: null,
    price_amount: payment.priceAmount,
    price_currency: payment.priceCurrency,
    pay_amount: payment.payAmount,
    actually_paid: payment.actuallyPaid,
    pay_currency: payment.payCurrency,
    order_id: payment.orderId,
    order_description: payment.orderDescription,
    purchase_id: Number(payment.invoiceId),
    outcome_amount: payment.actuallyPaid * 0.995,
    outcome_currency: payment.payCurrency,
    payout_hash: null,
    payin_hash: null,
    created_at: payment.createdAt.toISOString(),
    updated_at: payment.updatedAt.toISOString(),
    burning_percent: 'null',
    type: 'crypto2crypto',
  };
}
