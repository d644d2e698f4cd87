import type { InferenceEvents } from './events.ts';
import type { LedgerRetries } from './ledger-retries.ts';
import type {
  LimitState,
  RelayProgress,
  ReleaseReason,
  Reservations,
  Settlement,
} from '../reservations/reservation.domain.ts';

export interface HoldContext {
  readonly reservations: Reservations;
  readonly retries: LedgerRetries;
  readonly events: Pick<InferenceEvents, 'ledgerDeferred'>;
}

/**
 * An accepted hold on its way to exactly one end: settled, released, or left to reconciliation.
 * A second end is a bug and throws.
 */
export class Hold {
  readonly reservationId: string;
  readonly limits: LimitState;
  readonly #context: HoldContext;
  #ended: 'settled' | 'released' | 'left' | undefined;

  constructor(context: HoldContext, reservationId: string, limits: LimitState) {
    this.#context = context;
    this.reservationId = reservationId;
    this.limits = limits;
  }

  get isOpen(): boolean {
    return this.#ended === undefined;
  }

  /** Charges what was delivered. Not awaited: the client has its answer already. */
  settle(settlement: Omit<Settlement, 'reservationId'>): void {
    this.#end('settled');
    const { reservationId } = this;
    const run = (): Promise<void> =>
      this.#context.reservations.settle({ reservationId, ...settlement });
    run().catch((error: unknown) => this.#defer('settle', run, error));
  }

  /** Returns the hold; resolves when that is done or has been put off, and never rejects. */
  async release(reason: ReleaseReason): Promise<void> {
    this.#end('released');
    await releaseQuietly(this.#context, this.reservationId, reason);
  }

  /** Notes what the client has; the usage event or the reconciliation job settles. */
  leave(progress: Omit<RelayProgress, 'reservationId'>): void {
    this.#end('left');
    this.#context.reservations.noteProgress({ reservationId: this.reservationId, ...progress });
  }

  #defer(name: 'settle', run: () => Promise<void>, error: unknown): void {
    this.#context.events.ledgerDeferred(this.reservationId, name, error);
    this.#context.retries.add({ reservationId: this.reservationId, name, run });
  }

  #end(how: 'settled' | 'released' | 'left'): void {
    if (this.#ended !== undefined) {
      throw new Error(`a hold that was ${this.#ended} cannot be ${how}`);
    }
    this.#ended = how;
  }
}

/** Releases, now or as soon as the ledger can be reached again. */
export async function releaseQuietly(
  { reservations, retries, events }: HoldContext,
  reservationId: string,
  reason: ReleaseReason,
): Promise<void> {
  const run = (): Promise<void> => reservations.release(reservationId, reason);
  try {
    await run();
  } catch (error) {
    events.ledgerDeferred(reservationId, 'release', error);
    retries.add({ reservationId, name: 'release', run });
  }
}
