import { createHash } from 'node:crypto';
import type { Queryable } from '@arrakis/postgres';
import type { PaymentEvents } from './events.ts';
import type { PaymentIntake } from './intake.service.ts';
import { canonicalText, type JsonText } from './json-text.domain.ts';
import { VendorError, type NowPaymentsClient } from './nowpayments.client.ts';
import { PollPace } from './poll-pace.domain.ts';
import { countOpen, listUnsettled, type PollCandidate } from './repair.store.ts';
import { readReport, redactReport } from './vendor-report.domain.ts';

export interface ReconcileOptions {
  readonly db: Queryable;
  readonly intake: PaymentIntake;
  readonly events: PaymentEvents;
  /** Undefined where no vendor is configured: then nobody is asked. */
  readonly vendor: Pick<NowPaymentsClient, 'getPayment' | 'listPayments'> | undefined;
  /** Whether the vendor's whole list is gone through once a day; it has to let us see it. */
  readonly sweeps: boolean;
  /** Runs the work unless another replica is at it; false when it did not run. */
  readonly exclusively: (work: () => Promise<void>) => Promise<boolean>;
  /** Monotonic milliseconds; `performance.now` when absent. */
  readonly monotonicMs?: () => number;
  /** From 0 to 1; `Math.random` when absent. */
  readonly random?: () => number;
}

const OLDER_THAN_MINUTES = 15;
const MAX_CANDIDATES = 500;
const PAGE_LIMIT = 100;
const MAX_PAGES = 20;
/** Days are the list's unit, and its clock is the vendor's. */
const LIST_MARGIN_MS = 24 * 60 * 60_000;
/** The vendor is away: the others would only wait for the same timeout. */
const MAX_FAILURES = 3;
/** Whoever has finished is asked about no more, but may be refunded, or pay once more. */
const SWEEP = { days: 30, everyMs: 24 * 60 * 60_000, retryMs: 60 * 60_000, maxPages: 100 };

/** Asks the vendor about payments that have gone quiet, and takes its word as a notice's. */
export class PaymentReconciliation {
  readonly #options: ReconcileOptions;
  readonly #pace = new PollPace();
  #sweepDueMs = 0;

  constructor(options: ReconcileOptions) {
    this.#options = options;
  }

  /**
   * One round, if one is due. Returns how many payments moved. A payment that the vendor can't tell of
   * now is left as it is.
   */
  async run(): Promise<number> {
    const { vendor } = this.#options;
    if (vendor === undefined || !this.#pace.isDue(this.#nowMs())) return 0;
    let moved = 0;
    await this.#options.exclusively(async () => {
      try {
        moved = (await this.#round(vendor)) + (await this.#sweep(vendor));
        this.#pace.rest(this.#nowMs());
      } catch (error) {
        if (!(error instanceof VendorError)) throw error;
        if (error.outcome === 'busy') {
          const random = (this.#options.random ?? Math.random)();
          this.#pace.backOff(this.#nowMs(), random, error.retryAfterSeconds);
        } else {
          this.#pace.rest(this.#nowMs());
        }
      }
    });
    return moved;
  }

  /** Publishes how many payments are open, stuck or under review. */
  async measure(): Promise<number> {
    this.#options.events.measured(await countOpen(this.#options.db));
    return 0;
  }

  async #round(vendor: NonNullable<ReconcileOptions['vendor']>): Promise<number> {
    const { db } = this.#options;
    const candidates = await listUnsettled(db, OLDER_THAN_MINUTES, MAX_CANDIDATES);
    let moved = 0;
    let failures = 0;
    for (const { vendorPaymentId } of candidates) {
      if (vendorPaymentId === null) continue;
      try {
        moved += await this.#take(await vendor.getPayment(vendorPaymentId));
        failures = 0;
      } catch (error) {
        failures += 1;
        const goesOn = error instanceof VendorError && error.outcome === 'unavailable';
        if (!goesOn || failures >= MAX_FAILURES) throw error;
      }
    }
    return moved + (await this.#findUnheard(vendor, candidates));
  }

  /** Those whose first notice never came have no number to ask by: the vendor's list knows them. */
  async #findUnheard(
    vendor: NonNullable<ReconcileOptions['vendor']>,
    candidates: readonly PollCandidate[],
  ): Promise<number> {
    const unheard = candidates.filter((one) => one.vendorPaymentId === null);
    if (unheard.length === 0) return 0;
    const ids = new Set(unheard.map((one) => one.id));
    const oldestMs = Math.min(...unheard.map((one) => one.createdAt.getTime()));
    const since = new Date(oldestMs - LIST_MARGIN_MS);
    let moved = 0;
    for await (const item of listed(vendor, since, MAX_PAGES)) {
      const reading = readReport(item);
      const isOurs = reading.ok && ids.has(reading.report.orderId ?? '');
      if (isOurs) moved += await this.#take(item);
    }
    return moved;
  }

  /** Finds refunds and repeated deposits whose notices were all lost. */
  async #sweep(vendor: NonNullable<ReconcileOptions['vendor']>): Promise<number> {
    if (!this.#options.sweeps || this.#nowMs() < this.#sweepDueMs) return 0;
    this.#sweepDueMs = this.#nowMs() + SWEEP.retryMs;
    const since = new Date(Date.now() - SWEEP.days * 24 * 60 * 60_000);
    let moved = 0;
    for await (const item of listed(vendor, since, SWEEP.maxPages)) moved += await this.#take(item);
    this.#sweepDueMs = this.#nowMs() + SWEEP.everyMs;
    return moved;
  }

  /** 1 when the payment moved. */
  async #take(body: JsonText | undefined): Promise<number> {
    if (body === undefined) return 0;
    const reading = readReport(body);
    if (!reading.ok) {
      this.#options.events.vendorCalled('get_payment', 'refused', 200);
      return 0;
    }
    const bodyHash = createHash('sha256').update(canonicalText(body)).digest();
    const kept = { source: 'poll' as const, kept: redactReport(body), bodyHash };
    const intake = await this.#options.intake.receive(reading.report, kept);
    return intake.kind === 'applied' && intake.decision.to !== undefined ? 1 : 0;
  }

  #nowMs(): number {
    return (this.#options.monotonicMs ?? (() => performance.now()))();
  }
}

async function* listed(
  vendor: NonNullable<ReconcileOptions['vendor']>,
  since: Date,
  maxPages: number,
): AsyncGenerator<JsonText> {
  for (let page = 0; page < maxPages; page += 1) {
    const items = await vendor.listPayments({ since, page, limit: PAGE_LIMIT });
    yield* items;
    if (items.length < PAGE_LIMIT) return;
  }
}
