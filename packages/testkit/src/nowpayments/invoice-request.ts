export interface InvoiceRequest {
  readonly priceAmount: number;
  readonly priceCurrency: string;
  readonly orderId: string | null;
  readonly orderDescription: string | null;
  readonly ipnCallbackUrl: string | null;
  readonly successUrl: string | null;
  readonly cancelUrl: string | null;
}

/** What the vendor refuses, in its words. */
export interface VendorRefusal {
  readonly statusCode: number;
  readonly code: string;
  readonly message: string;
}

const KNOWN = new Set([
  'price_amount',
  'price_currency',
  'pay_currency',
  'order_id',
  'order_description',
  'ipn_callback_url',
  'success_url',
  'cancel_url',
  'partially_paid_url',
  'is_fixed_rate',
  'is_fee_paid_by_user',
]);
const FIAT = new Set(['usd', 'eur', 'gbp']);

const invalid = (message: string): VendorRefusal => ({
  statusCode: 400,
  code: 'INVALID_REQUEST_PARAMS',
  message,
});

/** Reads the body of `POST /v1/invoice` as strictly as the vendor. */
export function readInvoiceRequest(text: string): InvoiceRequest | VendorRefusal {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return invalid('Unexpected token in JSON');
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    return invalid('"value" must be of type object');
  }
  const members = body as Record<string, unknown>;
  const unknown = Object.keys(members).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) return invalid(`"${unknown}" is not allowed`);
  return readPrice(members) ?? readRest(members);
}

function readPrice(members: Readonly<Record<string, unknown>>): VendorRefusal | undefined {
  const { price_amount: amount, price_currency: currency } = members;
  if (amount === undefined) return invalid('price_amount is required');
  if (typeof amount !== 'number') return invalid('price_amount must be a number');
  if (!(amount > 0)) return invalid('price_amount must be larger than 0');
  if (typeof currency !== 'string') return invalid('price_currency is required');
  return FIAT.has(currency.toLowerCase())
    ? undefined
    : { statusCode: 400, code: 'BAD_REQUEST', message: 'Currency is not supported' };
}

function readRest(members: Readonly<Record<string, unknown>>): InvoiceRequest | VendorRefusal {
  const texts = ['order_id', 'order_description', 'ipn_callback_url', 'success_url', 'cancel_url'];
  const wrong = texts.find((name) => !['string', 'undefined'].includes(typeof members[name]));
  if (wrong !== undefined) return invalid(`${wrong} must be a string`);
  const text = (name: string): string | null => (members[name] as string | undefined) ?? null;
  const badUrl = texts.slice(2).find((name) => {
    const url = text(name);
    return url !== null && !/^https?:\/\/[^/]/.test(url);
  });
  if (badUrl !== undefined) return invalid(`${badUrl} must be a valid uri`);
  return {
    priceAmount: members.price_amount as number,
    priceCurrency: (members.price_currency as string).toLowerCase(),
    orderId: text('order_id'),
    orderDescription: text('order_description'),
    ipnCallbackUrl: text('ipn_callback_url'),
    successUrl: text('success_url'),
    cancelUrl: text('cancel_url'),
  };
}
