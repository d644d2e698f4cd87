import type { Queryable } from '@arrakis/postgres';
import { uuidv7 } from '@arrakis/service-kit';
import type { PaymentEvents } from './events.ts';
import type { Intake, PaymentIntake } from './intake.service.ts';
import type { BookChange } from './payment.domain.ts';
import {
  listCases,
  listDeliveries,
  listEvents,
  resolvePayment,
  type CaseFilter,
  type KeptDelivery,
  type PaymentCase,
  type PaymentEvent,
  type Resolution,
  type ResolutionOutcome,
} from './repair.store.ts';
import { readReport, restoreReport } from './vendor-report.domain.ts';

export type { CaseFilter, PaymentCase, Resolution } from './repair.store.ts';

export interface PaymentFile {
  readonly payment: PaymentCase;
  /** Further deposits of the same order that an operator credited, each a payment of its own. */
  readonly repeats: readonly PaymentCase[];
  readonly events: readonly PaymentEvent[];
  readonly deliveries: readonly KeptDelivery[];
}

const MAX_REPEATS = 100;

export type Replay = Intake | { readonly kind: 'not_found' } | { readonly kind: 'unreadable' };

/** What an operator may do about payments; each change carries a name and a reason into the books. */
export class PaymentRepair {
  readonly #db: Queryable;
  readonly #intake: PaymentIntake;
  readonly #events: PaymentEvents;

  constructor(options: {
    readonly db: Queryable;
    readonly intake: PaymentIntake;
    readonly events: PaymentEvents;
  }) {
    this.#db = options.db;
    this.#intake = options.intake;
    this.#events = options.events;
  }

  list(filter: CaseFilter, limit: number): Promise<PaymentCase[]> {
    return listCases(this.#db, filter, { limit });
  }

  async show(paymentId: string): Promise<PaymentFile | undefined> {
    const [payment] = await listCases(this.#db, 'all', { id: paymentId, limit: 1 });
    if (payment === undefined) return undefined;
    const repeats = await listCases(this.#db, 'all', { repeats: paymentId, limit: MAX_REPEATS });
    const events = await listEvents(this.#db, paymentId);
    const deliveries = await listDeliveries(this.#db, { paymentId });
    return { payment, repeats, events, deliveries };
  }

  /** Has a kept report decided again, as it stands now; the same report never credits twice. */
  async replay(deliveryId: string): Promise<Replay> {
    const [delivery] = await listDeliveries(this.#db, { deliveryId });
    if (delivery === undefined) return { kind: 'not_found' };
    const reading = readReport(restoreReport(delivery.report));
    if (!reading.ok) return { kind: 'unreadable' };
    const { bodyHash, report: kept } = delivery;
    return this.#intake.receive(reading.report, { source: 'replay', kept, bodyHash });
  }

  /** The same guards stand as for the vendor's reports: nothing is credited or refunded twice. */
  async resolve(
    resolution: Resolution,
  ): Promise<{ outcome: ResolutionOutcome; books: BookChange }> {
    const result = await resolvePayment(this.#db, resolution, uuidv7());
    this.#events.booked(resolution.paymentId, result.books);
    return result;
  }
}
