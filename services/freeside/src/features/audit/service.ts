import type { Pool } from 'pg';
import type { CheckpointSigner } from './checkpoint-signer.ts';
import type { AuditEvents } from './events.ts';
import * as store from './store.ts';
import { TrailCheck } from './trail-check.ts';

/** Records of each source in one transaction: some 100 ms of one connection. */
const BATCH_RECORDS = 5_000;
/** A run ends after so many batches, so that a worker that drains doesn't wait for a long past. */
const BATCHES_PER_RUN = 20;

export interface AuditServiceOptions {
  readonly db: Pool;
  readonly events: AuditEvents;
  /** Without one, checkpoints stay unsigned, and verifiers say so. */
  readonly signer?: CheckpointSigner;
  readonly batchRecords?: number;
}

/** Seals credit operations into the audit trail, and checks and signs what was sealed. */
export class AuditService {
  readonly #db: Pool;
  readonly #events: AuditEvents;
  readonly #batchRecords: number;
  readonly #check: TrailCheck;

  constructor(options: AuditServiceOptions) {
    this.#db = options.db;
    this.#events = options.events;
    this.#batchRecords = options.batchRecords ?? BATCH_RECORDS;
    this.#check = new TrailCheck({ db: options.db, signer: options.signer });
  }

  /**
   * Seals until nothing waits, another replica is at it, or the run has been long enough.
   *
   * @returns records sealed by this run.
   */
  async seal(): Promise<number> {
    let records = 0;
    for (let batches = 0; batches < BATCHES_PER_RUN; batches += 1) {
      const batch = await store.sealBatch(this.#db, this.#batchRecords);
      if (batch !== undefined && batch.records > 0) {
        records += batch.records;
        this.#events.sealed(batch);
      }
      if (batch?.more !== true) break;
    }
    await this.#observe();
    return records;
  }

  /** @returns batches checked by this run. */
  async check(): Promise<number> {
    const result = await this.#check.run(BATCHES_PER_RUN);
    this.#events.checked(result);
    return result.batches;
  }

  /** Every replica tells, also one that never gets to seal. */
  async #observe(): Promise<void> {
    const oldest = await store.oldestUnsealed(this.#db);
    const checkpoint = await store.lastCheckpoint(this.#db);
    this.#events.observed({ oldestUnsealed: oldest, checkpointAt: checkpoint?.sealedAt });
  }
}
