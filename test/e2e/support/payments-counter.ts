import { createLogger, createRegistry } from '@arrakis/service-kit';
import { signNotice, waitFor, type DeliveryPlan, type VendorPayment } from '@arrakis/testkit';
import { createPaymentEvents } from '../../../services/freeside/src/features/payments/events.ts';
import { PaymentIntake } from '../../../services/freeside/src/features/payments/intake.service.ts';
import type { PaymentStatus } from '../../../services/freeside/src/features/payments/payment-state.domain.ts';
import { PaymentRepair } from '../../../services/freeside/src/features/payments/repair.service.ts';
import { closeConnections } from '../../crash/load/call.ts';
import { startProvider } from '../../crash/load/provider.ts';
import { buy } from '../../crash/payments/buy.ts';
import { reconciliationOf } from '../../crash/payments/reconciliation.ts';
import type { Community, Sabotage } from '../../crash/types.ts';
import { startWorld, type BreakableWorld } from '../../crash/world/world.ts';

export interface Sold {
  /** Ours. */
  readonly id: string;
  readonly atVendor: VendorPayment;
}

/** Where a payment stands, and what was done for it. */
export interface PaymentState {
  readonly status: string;
  readonly mints: number;
  readonly refunds: number;
  /** Reasons of open reviews, in the order of the alphabet. */
  readonly reviews: string;
}

const BOUGHT_AT_ONCE = 12;
const TAKEN_WITHIN_MS = 20_000;

/** Two apis, a worker and the vendor; beside them an operator and reconciliations at hand. */
export class Counter {
  readonly world: BreakableWorld;
  readonly repair: PaymentRepair;
  #orders = 0;

  private constructor(world: BreakableWorld) {
    this.world = world;
    const logger = createLogger({ service: 'test', level: 'silent' });
    const parts = {
      db: world.auditDb,
      events: createPaymentEvents(createRegistry('test'), logger),
    };
    this.repair = new PaymentRepair({ ...parts, intake: new PaymentIntake(parts) });
  }

  /** @param sabotage to see a test go red */
  static async open(sabotage?: Sabotage): Promise<Counter> {
    const kind = { tier: 'standard', apiKeys: 1, hot: false, poor: false, prepaid: true } as const;
    const world = await startWorld({
      seed: 1,
      durable: false,
      replicas: { api: 2, finn: 1, worker: 1 },
      communities: ['atreides', 'fremen'].map((slug) => ({ slug, lotsMicro: [], ...kind })),
      startProvider,
      sabotage,
    });
    return new Counter(world);
  }

  async close(): Promise<void> {
    closeConnections();
    await this.world.stop();
  }

  community(slug: string): Community {
    const found = this.world.communities.find((one) => one.slug === slug);
    if (found === undefined) throw new Error(`no community ${slug}`);
    return found;
  }

  /** Over both apis in turn; the vendor's payments are open, and nothing has been told of them. */
  async sell(count: number, slug = 'atreides'): Promise<Sold[]> {
    const sold: Sold[] = [];
    const community = this.community(slug);
    const seller = async (): Promise<void> => {
      for (; this.#orders < last;) {
        this.#orders += 1;
        const replica = this.#orders;
        const idempotencyKey = `o-${String(replica)}`;
        const order = { community, pack: 'standard', idempotencyKey, replica };
        const { paymentId, atVendor } = await buy(this.world, order, []);
        // A community may have twenty checkouts of an hour that nobody has opened.
        await this.#date([paymentId], '1 hour');
        sold.push({ id: paymentId, atVendor });
      }
    };
    const last = this.#orders + count;
    await Promise.all(Array.from({ length: BOUGHT_AT_ONCE }, seller));
    await this.#date(
      sold.map(({ id }) => id),
      '0',
    );
    return sold;
  }

  async #date(ids: readonly string[], ago: string): Promise<void> {
    await this.world.auditDb.query(
      `UPDATE freeside.crypto_payments SET created_at = now() - $2::interval WHERE id = ANY ($1)`,
      [ids, ago],
    );
  }

  /** The vendor says it, paid in full unless it says otherwise. */
  say(atVendor: VendorPayment, status: PaymentStatus, plan: DeliveryPlan = {}): void {
    const { vendor } = this.world.shop;
    vendor.plan = { ...plan, timeoutMs: TAKEN_WITHIN_MS };
    // With its moment, without which nothing can be too late.
    vendor.generation = 'older';
    const { payAmount } = atVendor;
    const actuallyPaid = status === 'partially_paid' ? payAmount / 2 : payAmount;
    vendor.move(atVendor, status, { actuallyPaid });
  }

  settled(): Promise<void> {
    return this.world.shop.vendor.settled();
  }

  /** The newest notice of a payment, as the vendor signed it, but with another status; to each api. */
  async sayTooLate({ id }: Pick<Sold, 'id'>, status: PaymentStatus): Promise<void> {
    const { shop, apis } = this.world;
    const newest = shop.told().findLast(({ body }) => body.includes(id));
    const notice = JSON.parse(newest?.body.toString('utf8') ?? '{}') as object;
    const stale = { ...notice, payment_status: status };
    const signature = signNotice(stale, shop.env.NOWPAYMENTS_IPN_SECRET ?? '');
    const body = Buffer.from(JSON.stringify(stale));
    const taken = (replica: number): Promise<unknown> =>
      waitFor(async () => (await shop.post(body, signature, replica)) === 200, {
        timeoutMs: TAKEN_WITHIN_MS,
      });
    await Promise.all([...apis.keys()].map(taken));
  }

  /** A round as a worker makes it that believes to be alone. */
  reconcile(): Promise<number> {
    return reconciliationOf(this.world).run();
  }

  /** They have been quiet for longer than a reconciliation leaves them alone. */
  async letTimePass(sold: readonly Sold[]): Promise<void> {
    await this.world.auditDb.query(
      `UPDATE freeside.crypto_payments SET created_at = created_at - interval '20 minutes'
       WHERE id = ANY ($1)`,
      [sold.map(({ id }) => id)],
    );
  }

  /** An operator has the newest kept report decided again. */
  async replayLast({ id }: Pick<Sold, 'id'>): Promise<string> {
    const file = await this.repair.show(id);
    return (await this.repair.replay(file?.deliveries.at(-1)?.id ?? '')).kind;
  }

  async states(sold: readonly Pick<Sold, 'id'>[]): Promise<Map<string, PaymentState>> {
    const { rows } = await this.world.auditDb.query<PaymentState & { id: string }>(
      `SELECT p.id, p.status,
              (SELECT count(*)::integer FROM freeside.ledger_entries e
               JOIN freeside.credit_lots l ON l.id = e.lot_id
               WHERE l.source_ref LIKE 'payment:' || p.id || '%' AND e.kind = 'mint') AS mints,
              (SELECT count(*)::integer FROM freeside.payment_events e
               WHERE e.crypto_payment_id = p.id AND e.kind = 'refunded') AS refunds,
              (SELECT COALESCE(string_agg(r.reason, ' ' ORDER BY r.reason), '')
               FROM freeside.payment_reviews r
               WHERE r.crypto_payment_id = p.id AND r.resolved_at IS NULL) AS reviews
       FROM freeside.crypto_payments p WHERE p.id = ANY ($1)`,
      [sold.map(({ id }) => id)],
    );
    return new Map(rows.map(({ id, ...state }) => [id, state]));
  }

  /** Equations of the books that don't hold. */
  async drift(): Promise<string[]> {
    const { rows } = await this.world.auditDb.query<{ equation: string }>(
      'SELECT equation FROM freeside.conservation_full WHERE drift_micro <> 0',
    );
    return rows.map(({ equation }) => equation);
  }
}
