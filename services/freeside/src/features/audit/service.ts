import type { Head } from '@arrakis/audit';
import type { Pool } from 'pg';
import type { CheckpointSigner } from './checkpoint-signer.ts';
import type { AuditEvents } from './events.ts';
import * as store from './store.ts';
import { TrailCheck } from './trail-check.ts';

/** Records of each source in one transaction: some 100 ms of one connection. */
const BATCH_RECORDS = 5_000;
/** A run ends after so many batches, so that a worker that drains doesn't wait for a long past. */
const BATCHES_PER_RUN = 20;
/**
 * And after so long, a tenth of a core as often as these jobs run: when holds and settlements want
 * the whole machine, they get it, and the trail follows when they are done.
 */
const SEALING_MS = 200;
const CHECKING_MS = 500;
/** Once it is that far behind, runs are as long as they can be until nothing waits. */
const FAR_BEHIND_MS = 30_000;

export interface AuditServiceOptions {
  readonly db: Pool;
  readonly events: AuditEvents;
  /** Without one, checkpoints stay unsigned, and verifiers say so. */
  readonly signer?: CheckpointSigner;
  /** A link of the trail, noted elsewhere. Nothing is signed unless the trail goes through it. */
  readonly anchor?: Head;
  readonly batchRecords?: number;
  /** Milliseconds: of a monotonic clock, and since 1970. */
  readonly clock?: { readonly monotonicMs: () => number; readonly nowMs: () => number };
}

const CLOCK = { monotonicMs: () => performance.now(), nowMs: () => Date.now() };

/** Seals credit operations into the audit trail, and checks and signs what was sealed. */
export class AuditService {
  readonly #db: Pool;
  readonly #events: AuditEvents;
  readonly #batchRecords: number;
  readonly #check: TrailCheck;
  readonly #clock: typeof CLOCK;
  #isSealingHurried = false;
  #isCheckHurried = false;

  constructor(options: AuditServiceOptions) {
    this.#db = options.db;
    this.#events = options.events;
    this.#batchRecords = options.batchRecords ?? BATCH_RECORDS;
    this.#check = new TrailCheck({
      db: options.db,
      signer: options.signer,
      anchor: options.anchor,
    });
    this.#clock = options.clock ?? CLOCK;
  }

  /**
   * Seals until nothing waits, another replica is at it, or the run has been long enough, which it is
   * sooner as long as it isn't far behind.
   *
   * @returns records sealed by this run.
   */
  async seal(): Promise<number> {
    let records = 0;
    const goesOn = this.#untilLongEnough(SEALING_MS, this.#isSealingHurried);
    let isMoreWaiting = true;
    for (let batches = 0; isMoreWaiting && (batches === 0 || goesOn(batches)); batches += 1) {
      const batch = await store.sealBatch(this.#db, this.#batchRecords);
      if (batch !== undefined && batch.records > 0) {
        records += batch.records;
        this.#events.sealed(batch);
      }
      isMoreWaiting = batch?.more === true;
    }
    const oldest = await this.#observe();
    this.#isSealingHurried = isMoreWaiting && (this.#isSealingHurried || this.#isFarBehind(oldest));
    return records;
  }

  /** @returns batches checked by this run. */
  async check(): Promise<number> {
    const result = await this.#check.run(this.#untilLongEnough(CHECKING_MS, this.#isCheckHurried));
    this.#isCheckHurried =
      result.more && (this.#isCheckHurried || this.#isFarBehind(result.sealedAt));
    this.#events.checked(result);
    return result.batches;
  }

  /** Every replica tells, also one that never gets to seal. Returns when the oldest was made that waits. */
  async #observe(): Promise<Date | undefined> {
    const oldest = await store.oldestUnsealed(this.#db);
    const checkpoint = await store.lastCheckpoint(this.#db);
    this.#events.observed({ oldestUnsealed: oldest, checkpointAt: checkpoint?.sealedAt });
    return oldest;
  }

  #untilLongEnough(paceMs: number, isHurried: boolean): (batches: number) => boolean {
    const untilMs = this.#clock.monotonicMs() + (isHurried ? Infinity : paceMs);
    return (batches) => batches < BATCHES_PER_RUN && this.#clock.monotonicMs() < untilMs;
  }

  #isFarBehind(since: Date | undefined): boolean {
    return since !== undefined && this.#clock.nowMs() - since.getTime() > FAR_BEHIND_MS;
  }
}
