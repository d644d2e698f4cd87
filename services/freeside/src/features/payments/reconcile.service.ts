import { createHash } from 'node:crypto';
import type { Queryable } from '@arrakis/postgres';
import type { PaymentEvents, VendorCall } from './events.ts';
import type { PaymentIntake } from './intake.service.ts';
import { canonicalText, type JsonText } from './json-text.domain.ts';
import type { NowPaymentsClient } from './nowpayments.client.ts';
import { busyPauseMs, ROUND_EVERY_MS } from './poll-pace.domain.ts';
import { isBusy, PollRound } from './poll-round.ts';
import {
  keepTurn,
  listHeard,
  listUnheard,
  postponeRound,
  postponeSweep,
  readPace,
  type Pace,
} from './poll.store.ts';
import { countOpen } from './repair.store.ts';
import { readReport, redactReport } from './vendor-report.domain.ts';

type Vendor = Pick<NowPaymentsClient, 'getPayment' | 'listPayments'>;

export interface ReconcileOptions {
  readonly db: Queryable;
  readonly intake: PaymentIntake;
  readonly events: PaymentEvents;
  /** Undefined where no vendor is configured: then nobody is asked. */
  readonly vendor: Vendor | undefined;
  /** Whether the vendor's whole list is gone through once a day; it has to let us see it. */
  readonly sweeps: boolean;
  /**
   * Runs the work unless another replica is at it; false when it did not run. The signal is aborted
   * when another replica may begin although the work has not ended.
   */
  readonly exclusively: (work: (signal: AbortSignal) => Promise<void>) => Promise<boolean>;
  /** From 0 to 1; `Math.random` when absent. */
  readonly random?: () => number;
}

const OLDER_THAN_MINUTES = 15;
/** Asked about one by one in a round; who is left has its turn in the next one. */
const MAX_HEARD = 500;
/** Looked for in the vendor's list, which costs as much for one as for all. */
const MAX_UNHEARD = 10_000;
const PAGE_LIMIT = 100;
const MAX_PAGES = 20;
/** Days are the list's unit, and its clock is the vendor's. */
const LIST_MARGIN_MS = 24 * 60 * 60_000;
/** Whoever has finished is asked about no more, but may be refunded, or pay once more. */
const SWEEP = { days: 30, everyMs: 24 * 60 * 60_000, retryMs: 60 * 60_000, maxPages: 100 };

/** Where a round is. It stops between two calls of the vendor once the signal is aborted. */
interface Asking {
  readonly vendor: Vendor;
  readonly round: PollRound;
  readonly pace: Pace;
  readonly signal: AbortSignal;
}

/** Asks the vendor about payments that have gone quiet, and takes its word as a notice's. */
export class PaymentReconciliation {
  readonly #options: ReconcileOptions;

  constructor(options: ReconcileOptions) {
    this.#options = options;
  }

  /**
   * One round, if one is due. Returns how many payments moved. A payment that the vendor can't tell of
   * now is left as it is.
   *
   * @param closing ends the round between two calls; the next one goes on where it was
   * @throws what failed on our side, after everything else was tried, and when the lock was lost
   */
  async run(closing?: AbortSignal): Promise<number> {
    const { db, vendor } = this.#options;
    if (vendor === undefined || !(await readPace(db)).isDue) return 0;
    const round = new PollRound();
    await this.#options.exclusively(async (held) => {
      // Another replica may have asked since.
      const pace = await readPace(db);
      if (!pace.isDue) return;
      const signal = closing === undefined ? held : AbortSignal.any([held, closing]);
      await this.#paced({ vendor, round, pace, signal });
      if (!signal.aborted) round.end();
      if (closing?.aborted !== true) held.throwIfAborted();
    });
    return round.moved;
  }

  /** Publishes how many payments are open, stuck or under review. */
  async measure(): Promise<number> {
    this.#options.events.measured(await countOpen(this.#options.db));
    return 0;
  }

  /** Whatever becomes of the round, the vendor has a rest after it, unless it was only broken off. */
  async #paced(asking: Asking): Promise<void> {
    const { db } = this.#options;
    const { pace, round, signal } = asking;
    try {
      await this.#askHeard(asking);
      await this.#findUnheard(asking);
      await this.#sweep(asking);
    } catch (error) {
      if (isBusy(error)) {
        const random = (this.#options.random ?? Math.random)();
        const pauseMs = busyPauseMs(pace.busyInARow, random, error.retryAfterSeconds);
        await postponeRound(db, pauseMs, pace.busyInARow + 1);
        return;
      }
      round.note(error);
    }
    if (!signal.aborted) await postponeRound(db, ROUND_EVERY_MS, 0);
  }

  async #askHeard({ vendor, round, pace, signal }: Asking): Promise<void> {
    const { db } = this.#options;
    const page = { olderThanMinutes: OLDER_THAN_MINUTES, after: pace.askedLast, limit: MAX_HEARD };
    const heard = await listHeard(db, page);
    let askedLast: string | undefined;
    round.begin();
    try {
      for (const { id, vendorPaymentId } of heard) {
        if (round.isHopeless) return;
        signal.throwIfAborted();
        await round.attempt(async () =>
          this.#take(await vendor.getPayment(vendorPaymentId), 'get_payment'),
        );
        askedLast = id;
      }
    } finally {
      if (askedLast !== undefined) await keepTurn(db, askedLast);
    }
  }

  /** Those whose first notice never came have no number to ask by: the vendor's list knows them. */
  async #findUnheard({ vendor, round, signal }: Asking): Promise<void> {
    const page = { olderThanMinutes: OLDER_THAN_MINUTES, limit: MAX_UNHEARD };
    const unheard = await listUnheard(this.#options.db, page);
    const oldest = unheard.at(-1);
    if (oldest === undefined) return;
    const ids = new Set(unheard.map((one) => one.id));
    const since = new Date(oldest.createdAt.getTime() - LIST_MARGIN_MS);
    round.begin();
    for await (const item of listed(vendor, since, MAX_PAGES, signal)) {
      if (round.isHopeless) return;
      const reading = readReport(item);
      const isOurs = reading.ok && ids.has(reading.report.orderId ?? '');
      if (isOurs) await round.attempt(() => this.#take(item, 'list_payments'));
    }
  }

  /** Finds refunds and repeated deposits whose notices were all lost. */
  async #sweep({ vendor, round, pace, signal }: Asking): Promise<void> {
    if (!this.#options.sweeps || !pace.isSweepDue) return;
    const { db } = this.#options;
    await postponeSweep(db, SWEEP.retryMs);
    const since = new Date(Date.now() - SWEEP.days * 24 * 60 * 60_000);
    round.begin();
    for await (const item of listed(vendor, since, SWEEP.maxPages, signal)) {
      if (round.isHopeless) return;
      await round.attempt(() => this.#take(item, 'list_payments'));
    }
    await postponeSweep(db, SWEEP.everyMs);
  }

  /** 1 when the payment moved. */
  async #take(body: JsonText | undefined, call: VendorCall): Promise<number> {
    if (body === undefined) return 0;
    const reading = readReport(body);
    if (!reading.ok) {
      this.#options.events.vendorCalled(call, 'unreadable', 200);
      return 0;
    }
    const bodyHash = createHash('sha256').update(canonicalText(body)).digest();
    const kept = { source: 'poll' as const, kept: redactReport(body), bodyHash };
    const intake = await this.#options.intake.receive(reading.report, kept);
    return intake.kind === 'applied' && intake.decision.to !== undefined ? 1 : 0;
  }
}

/** @throws VendorError, or the signal's reason before a page that is asked for after its abort. */
async function* listed(
  vendor: Vendor,
  since: Date,
  maxPages: number,
  signal: AbortSignal,
): AsyncGenerator<JsonText> {
  for (let page = 0; page < maxPages; page += 1) {
    signal.throwIfAborted();
    const items = await vendor.listPayments({ since, page, limit: PAGE_LIMIT });
    yield* items;
    if (items.length < PAGE_LIMIT) return;
  }
}
