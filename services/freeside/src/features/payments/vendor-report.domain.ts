import type { FieldError } from '@arrakis/contracts';
import { parseDecimal, type Decimal } from './decimal.domain.ts';
import type { VendorReport } from './delivery.domain.ts';
import type { JsonText } from './json-text.domain.ts';

export type ReportReading =
  | { readonly ok: true; readonly report: VendorReport }
  | { readonly ok: false; readonly errors: FieldError[] };

const ID = /^\d{1,20}$/;
const STATUS = /^[\w-]{1,40}$/;
const CURRENCY = /^[A-Za-z0-9]{1,20}$/;
const ORDER_ID = /^[\x21-\x7e]{1,100}$/;
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;
const EPOCH_MS = /^\d{1,15}$/;

/**
 * Reads a notice, or the vendor's answer when asked, of either generation: ids come as numbers or
 * texts, `updated_at` as a text, a number or not at all, amounts with any text of a number.
 */
export function readReport(body: JsonText): ReportReading {
  if (body.kind !== 'object') {
    return { ok: false, errors: [{ field: '/', reason: 'must be an object' }] };
  }
  const fields = new Fields(new Map(body.members));
  const report: VendorReport = {
    paymentId: fields.required('payment_id', id) ?? '',
    parentPaymentId: fields.optional('parent_payment_id', id),
    orderId: fields.optional('order_id', orderId),
    invoiceId: fields.optional('invoice_id', id),
    status: fields.required('payment_status', status) ?? '',
    priceAmount: fields.required('price_amount', amount) ?? { digits: 0n, scale: 0 },
    priceCurrency: fields.required('price_currency', currency) ?? '',
    payAmount: fields.optional('pay_amount', amount),
    actuallyPaid: fields.optional('actually_paid', amount),
    payCurrency: fields.optional('pay_currency', currency),
    updatedAtMs: fields.optional('updated_at', timestamp),
  };
  return fields.errors.length === 0 ? { ok: true, report } : { ok: false, errors: fields.errors };
}

/** What is kept of a report: enough to read it again, and no address, hash or name of a person. */
const KEPT = [
  'payment_id',
  'parent_payment_id',
  'order_id',
  'invoice_id',
  'payment_status',
  'price_amount',
  'price_currency',
  'pay_amount',
  'actually_paid',
  'pay_currency',
  'updated_at',
];
const MAX_KEPT_CHARACTERS = 100;

/**
 * The kept fields, numbers as texts, so that no store changes them; {@link readReport} reads them as
 * it read the original.
 */
export function redactReport(body: JsonText): Record<string, string> {
  if (body.kind !== 'object') return {};
  const members = new Map(body.members);
  return Object.fromEntries(
    KEPT.flatMap((name) => {
      const text = textOf(members.get(name));
      return text === undefined ? [] : [[name, text.slice(0, MAX_KEPT_CHARACTERS)]];
    }),
  );
}

/** A kept report in the form in which it came. */
export function restoreReport(kept: Readonly<Record<string, string>>): JsonText {
  return {
    kind: 'object',
    members: Object.entries(kept).map(([name, value]) => [name, { kind: 'string', value }]),
  };
}

/** A text or the text of a number; undefined for null, what is absent and everything else. */
function textOf(value: JsonText | undefined): string | undefined {
  if (value?.kind === 'string') return value.value;
  return value?.kind === 'number' ? value.text : undefined;
}

/** Undefined when the text isn't one; the reason says what is. */
interface Kind<T> {
  readonly reason: string;
  read(text: string, isNumber: boolean): T | undefined;
}

const matching = (pattern: RegExp, reason: string): Kind<string> => ({
  reason,
  read: (text) => (pattern.test(text) ? text : undefined),
});
const id = matching(ID, 'must be a whole number of at most 20 digits');
const orderId = matching(ORDER_ID, 'must be 1 to 100 visible ASCII characters');
const status = matching(STATUS, 'must be a word of at most 40 letters');
const currency: Kind<string> = {
  reason: 'must be the name of a currency',
  read: (text, isNumber) => (!isNumber && CURRENCY.test(text) ? text.toLowerCase() : undefined),
};
const amount: Kind<Decimal> = {
  reason: 'must be a number of zero or more, of at most 60 characters',
  read: parseDecimal,
};
const timestamp: Kind<number> = {
  reason: 'must be a moment with a zone, or milliseconds since the epoch',
  read: (text) => {
    if (EPOCH_MS.test(text)) return Number(text);
    const ms = TIMESTAMP.test(text) ? Date.parse(text) : Number.NaN;
    return Number.isNaN(ms) ? undefined : ms;
  },
};

class Fields {
  readonly errors: FieldError[] = [];
  readonly #members: ReadonlyMap<string, JsonText>;

  constructor(members: ReadonlyMap<string, JsonText>) {
    this.#members = members;
  }

  required<T>(name: string, kind: Kind<T>): T | undefined {
    const value = this.#members.get(name);
    if (value === undefined) {
      this.errors.push({ field: `/${name}`, reason: 'is required' });
      return undefined;
    }
    return this.#read(name, value, kind);
  }

  /** Null also stands for what is absent. */
  optional<T>(name: string, kind: Kind<T>): T | null {
    const value = this.#members.get(name);
    if (value === undefined || (value.kind === 'literal' && value.text === 'null')) return null;
    return this.#read(name, value, kind) ?? null;
  }

  #read<T>(name: string, value: JsonText, kind: Kind<T>): T | undefined {
    const text = textOf(value);
    const read = text === undefined ? undefined : kind.read(text, value.kind === 'number');
    if (read === undefined) this.errors.push({ field: `/${name}`, reason: kind.reason });
    return read;
  }
}
