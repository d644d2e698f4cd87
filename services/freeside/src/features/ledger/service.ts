import type { Queryable } from '@arrakis/postgres';
import type { Balance, Receipt } from './billing.domain.ts';
import type { LedgerEvents } from './events.ts';
import { orUnavailable } from './or-unavailable.ts';
import * as store from './store.ts';

/** What a community may read of its books; a ProblemError when the database can't be reached. */
export class BillingService {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  balance(communityId: string): Promise<Balance | undefined> {
    return orUnavailable(store.readBalance(this.#db, communityId));
  }

  /** `undefined` for an unknown request and for another community's alike. */
  receipt(communityId: string, requestId: string): Promise<Receipt | undefined> {
    return orUnavailable(store.readReceipt(this.#db, communityId, requestId));
  }
}

/** Minting, expiry and the proof that the books balance. */
export class LedgerService {
  readonly #db: Queryable;
  readonly #events: LedgerEvents;

  constructor(db: Queryable, events: LedgerEvents) {
    this.#db = db;
    this.#events = events;
  }

  expireLots(atMost: number): Promise<number> {
    return store.expireLots(this.#db, atMost);
  }

  /**
   * Checks every community's equations from one snapshot. Returns how many do not hold; each is
   * logged and shows in the drift gauge until it holds again.
   */
  async checkConservation(depth: 'quick' | 'full'): Promise<number> {
    const drift = await store.findDrift(this.#db, depth);
    this.#events.conservationChecked(depth, drift);
    return drift.length;
  }
}
