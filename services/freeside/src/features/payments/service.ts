import type { Queryable } from '@arrakis/postgres';
import { ProblemError, uuidv7 } from '@arrakis/service-kit';
import { TtlCache } from '../agents/ttl-cache.ts';
import { orUnavailable } from '../ledger/or-unavailable.ts';
import type { PaymentEvents } from './events.ts';
import { VendorError, type NowPaymentsClient } from './nowpayments.client.ts';
import { formatCursor, parseCursor, type CreditPack, type Payment } from './payment.domain.ts';
import { createPayment, listPacks, listPayments, recordInvoice, type Creation } from './store.ts';

/** What of the flags decides here. */
export interface PaymentFlags {
  isEnabled(name: 'FEATURE_CRYPTO_PAYMENTS_ENABLED'): boolean;
}

export interface PaymentServiceOptions {
  readonly db: Queryable;
  readonly flags: PaymentFlags;
  readonly events: PaymentEvents;
  /** Undefined where no vendor is configured: then nothing can be bought. */
  readonly vendor: Pick<NowPaymentsClient, 'createInvoice'> | undefined;
  /** Where the vendor sends its notices. */
  readonly callbackUrl: string;
}

export interface BuyCommand {
  readonly communityId: string;
  readonly userId: string;
  readonly packId: string;
  /** The same key of a community never buys twice. */
  readonly idempotencyKey: string;
}

export interface PaymentPage {
  readonly payments: readonly Payment[];
  /** Null after the last page. */
  readonly nextCursor: string | null;
}

/** What an operator has credited, or the vendor moved on, is paid or over: nobody is sent to pay it. */
function wantsInvoice({ checkoutUrl, creditedAt, status }: Payment): boolean {
  return checkoutUrl === null && creditedAt === null && status === 'waiting';
}

const DISABLED_RETRY_SECONDS = '60';
const MAX_RETRY_SECONDS = 300;
/** Anybody may ask for the packs, and nobody's asking may cost the database. */
const PACKS_CACHE = { ttlMs: 5_000, maxEntries: 1, nowMs: () => performance.now() };

/** What a community may buy, buys, and has bought. Rejects with ProblemError where it can't serve. */
export class PaymentService {
  readonly #options: PaymentServiceOptions;
  readonly #packs = new TtlCache<readonly CreditPack[]>(PACKS_CACHE);

  constructor(options: PaymentServiceOptions) {
    this.#options = options;
  }

  /** As they were at most five seconds ago. */
  packs(): Promise<readonly CreditPack[]> {
    return this.#packs.get('', () => orUnavailable(listPacks(this.#options.db)));
  }

  /**
   * Creates the payment and its invoice at the vendor. Repeated with the same key it returns what
   * there is, and makes the invoice if the first try came to none and nobody has paid since.
   */
  async buy(command: BuyCommand): Promise<{ payment: Payment; created: boolean }> {
    const { db, events } = this.#options;
    const vendor = this.#vendor();
    const asked = await orUnavailable(createPayment(db, { ...command, id: uuidv7() }));
    if (asked.kind === 'too_many') events.created('any', 'rate_limited');
    if (asked.kind !== 'there' || !asked.isSame) throw refusalOf(asked);
    const known = await this.find(command.communityId, asked.id);
    if (known !== undefined && wantsInvoice(known)) await this.#invoice(vendor, known);
    events.created(command.packId, asked.created ? 'created' : 'repeated');
    const payment = await this.find(command.communityId, asked.id);
    if (payment === undefined) throw new Error('the payment just created is not there');
    return { payment, created: asked.created };
  }

  /** Undefined for what doesn't exist and for another community's alike. */
  async find(communityId: string, id: string): Promise<Payment | undefined> {
    const [row] = await orUnavailable(
      listPayments(this.#options.db, communityId, { id, limit: 1 }),
    );
    return row?.payment;
  }

  /** From newest to oldest. @throws ProblemError for a cursor that isn't one of ours. */
  async list(communityId: string, limit: number, cursor: string | undefined): Promise<PaymentPage> {
    const after = cursor === undefined ? undefined : parseCursor(cursor);
    if (cursor !== undefined && after === undefined) {
      throw new ProblemError({
        code: 'invalid_request',
        errors: [{ field: 'query:cursor', reason: 'must be the nextCursor of an earlier page' }],
      });
    }
    const page = { after, limit: limit + 1 };
    const rows = await orUnavailable(listPayments(this.#options.db, communityId, page));
    const shown = rows.slice(0, limit);
    const last = shown.at(-1);
    const hasMore = rows.length > limit && last !== undefined;
    return {
      payments: shown.map((row) => row.payment),
      nextCursor: hasMore ? formatCursor(last.cursor) : null,
    };
  }

  #vendor(): Pick<NowPaymentsClient, 'createInvoice'> {
    const { events, flags, vendor } = this.#options;
    const isOn = flags.isEnabled('FEATURE_CRYPTO_PAYMENTS_ENABLED');
    if (isOn && vendor !== undefined) return vendor;
    events.created('any', 'disabled');
    throw new ProblemError({
      code: 'feature_disabled',
      detail: isOn
        ? 'Payments are not configured here.'
        : 'Crypto payments are switched off; payments under way and credits go on.',
      headers: { 'retry-after': DISABLED_RETRY_SECONDS },
    });
  }

  async #invoice(
    vendor: Pick<NowPaymentsClient, 'createInvoice'>,
    payment: Payment,
  ): Promise<void> {
    const { callbackUrl, db, events } = this.#options;
    try {
      const invoice = await vendor.createInvoice({
        orderId: payment.id,
        description: `arrakis credits: ${payment.packId}`,
        priceMicro: payment.priceMicro,
        callbackUrl,
      });
      await orUnavailable(recordInvoice(db, payment.id, invoice));
    } catch (error) {
      if (!(error instanceof VendorError)) throw error;
      events.created('any', 'unavailable');
      throw new ProblemError({
        code: 'service_unavailable',
        detail: 'The payment provider cannot be reached; repeat the request with the same key.',
        headers: { 'retry-after': String(retryAfterSeconds(error)) },
        cause: error,
      });
    }
  }
}

/** The vendor may ask for none, which our callers are promised never to see, or for a day. */
function retryAfterSeconds(error: VendorError): number {
  return Math.min(Math.max(error.retryAfterSeconds ?? 5, 1), MAX_RETRY_SECONDS);
}

/** Why nothing was made of what was asked for. */
function refusalOf(asked: Creation): ProblemError {
  switch (asked.kind) {
    case 'too_many':
      return new ProblemError({
        code: 'rate_limited',
        detail: 'Too many checkouts of the last hour have not been opened; open one of those.',
        headers: { 'retry-after': String(asked.retryAfterSeconds) },
      });
    case 'no_such_pack':
      return new ProblemError({
        code: 'pack_not_found',
        errors: [{ field: '/pack', reason: 'is none of GET /api/v1/credit-packs' }],
      });
    case 'there':
      return new ProblemError({
        code: 'idempotency_key_reused',
        detail: 'The key was used for another pack.',
        errors: [{ field: 'header:idempotency-key', reason: 'belongs to another request' }],
      });
  }
}
