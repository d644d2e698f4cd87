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
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;
const EPOCH_MS = /^\d{1,15}$/;

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

/**
 * What is read of a report, and all that is kept of it: enough to read it again, and no address, hash
 * or name of a person.
 */
const FIELDS = {
  payment_id: id,
  parent_payment_id: id,
  order_id: orderId,
  invoice_id: id,
  payment_status: status,
  price_amount: amount,
  price_currency: currency,
  pay_amount: amount,
  actually_paid: amount,
  pay_currency: currency,
  updated_at: timestamp,
} satisfies Record<string, Kind<unknown>>;

/**
 * Reads a notice, or the vendor's answer when asked, of either generation: ids come as numbers or
 * texts, `updated_at` as a text, a number or not at all, amounts with any text of a number.
 */
export function readReport(body: JsonText): ReportReading {
  if (body.kind !== 'object') {
    return { ok: false, errors: [{ field: '/', reason: 'must be an object' }] };
  }
  const reader = new FieldReader(new Map(body.members));
  const report: VendorReport = {
    paymentId: reader.required('payment_id', FIELDS.payment_id) ?? '',
    parentPaymentId: reader.optional('parent_payment_id', FIELDS.parent_payment_id),
    orderId: reader.optional('order_id', FIELDS.order_id),
    invoiceId: reader.optional('invoice_id', FIELDS.invoice_id),
    status: reader.required('payment_status', FIELDS.payment_status) ?? '',
    priceAmount: reader.required('price_amount', FIELDS.price_amount) ?? { digits: 0n, scale: 0 },
    priceCurrency: reader.required('price_currency', FIELDS.price_currency) ?? '',
    payAmount: reader.optional('pay_amount', FIELDS.pay_amount),
    actuallyPaid: reader.optional('actually_paid', FIELDS.actually_paid),
    payCurrency: reader.optional('pay_currency', FIELDS.pay_currency),
    updatedAtMs: reader.optional('updated_at', FIELDS.updated_at),
  };
  return reader.errors.length === 0 ? { ok: true, report } : { ok: false, errors: reader.errors };
}

const MAX_KEPT_CHARACTERS = 100;
/** Another shop may have named its order by somebody's address. */
const FOREIGN_ORDER = '(of-another-shop)';
/** Stand for what was refused, and are refused in every field themselves: no pattern has a blank. */
const NO_TEXT = '(neither text nor number)';
const NOT_OF_FIELD = '(not of this field)';

/**
 * The kept fields, numbers as texts, so that no store changes them. {@link readReport} reads them as it
 * read the original: what it refused it refuses again, and what it read is the same, but for the name
 * of an order that can't be ours.
 */
export function redactReport(body: JsonText): Record<string, string> {
  if (body.kind !== 'object') return {};
  const members = new Map(body.members);
  return Object.fromEntries(
    Object.entries(FIELDS).flatMap(([name, kind]) => {
      const value = members.get(name);
      return value === undefined || isNull(value) ? [] : [[name, keptText(name, kind, value)]];
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

function keptText(name: string, kind: Kind<unknown>, value: JsonText): string {
  const text = textOf(value);
  if (text === undefined) return NO_TEXT;
  const isRead = kind.read(text, value.kind === 'number') !== undefined;
  if (name === 'order_id' && !UUID.test(text)) return isRead ? FOREIGN_ORDER : NOT_OF_FIELD;
  const kept = shortened(text);
  // A number where only a text will do would pass for that text.
  return isRead || kind.read(kept, false) === undefined ? kept : NOT_OF_FIELD;
}

/** Cut between characters, which a store insists on, and marked: a piece mustn't pass for a whole. */
function shortened(text: string): string {
  if (text.length <= MAX_KEPT_CHARACTERS) return text;
  return `${text.slice(0, MAX_KEPT_CHARACTERS - 1).toWellFormed()}…`;
}

/** A text or the text of a number; undefined for everything else. */
function textOf(value: JsonText): string | undefined {
  if (value.kind === 'string') return value.value;
  return value.kind === 'number' ? value.text : undefined;
}

function isNull(value: JsonText): boolean {
  return value.kind === 'literal' && value.text === 'null';
}

class FieldReader {
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
    if (value === undefined || isNull(value)) return null;
    return this.#read(name, value, kind) ?? null;
  }

  #read<T>(name: string, value: JsonText, kind: Kind<T>): T | undefined {
    const text = textOf(value);
    const read = text === undefined ? undefined : kind.read(text, value.kind === 'number');
    if (read === undefined) this.errors.push({ field: `/${name}`, reason: kind.reason });
    return read;
  }
}
