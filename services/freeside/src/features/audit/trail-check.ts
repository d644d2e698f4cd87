import { ChainVerifier, isSignedBy, type Finding, type Head } from '@arrakis/audit';
import type { Queryable } from '@arrakis/postgres';
import type { CheckpointSigner } from './checkpoint-signer.ts';
import { readBatch } from './export.ts';
import * as store from './store.ts';

export interface TrailCheckOptions {
  readonly db: Queryable;
  readonly signer: CheckpointSigner | undefined;
}

export interface CheckResult {
  /** Last link that was checked. */
  readonly head: Head;
  /** What is wrong, once and for all; only a new process begins anew. */
  readonly finding: Finding | undefined;
  /** Batches read by this run. */
  readonly batches: number;
  /** The checkpoint that this run signed, if any. */
  readonly signed: bigint | undefined;
  /** Not everything that was sealed is checked yet. */
  readonly more: boolean;
  /** When the last batch was sealed that this run has checked, if any. */
  readonly sealedAt: Date | undefined;
}

/**
 * Reads what was sealed, recomputes it by the verifier that strangers use, and signs the newest
 * checkpoint. It signs only what goes on from what it has checked or signed itself: whoever rewrites
 * the trail in the database does not get the new one signed.
 */
export class TrailCheck {
  readonly #db: Queryable;
  readonly #signer: CheckpointSigner | undefined;
  #verifier: ChainVerifier | undefined;
  #finding: Finding | undefined;
  #isHeadSigned = true;

  constructor(options: TrailCheckOptions) {
    this.#db = options.db;
    this.#signer = options.signer;
  }

  /** Goes on from where the last run ended, as long as `goesOn` says so of the batches so far. */
  async run(goesOn: (batches: number) => boolean): Promise<CheckResult> {
    const verifier = (this.#verifier ??= await this.#begin());
    let batches = 0;
    let isCaughtUp = false;
    let sealedAt: Date | undefined;
    while (this.#finding === undefined && (batches === 0 || goesOn(batches))) {
      const batch = await readBatch(this.#db, verifier.summary().head.sequence);
      if (batch === undefined) {
        isCaughtUp = true;
        break;
      }
      batches += 1;
      for (const line of batch.lines) this.#finding ??= verifier.accept(line);
      this.#isHeadSigned = batch.checkpoint.signature !== undefined;
      sealedAt = batch.checkpoint.sealedAt;
    }
    const { head } = verifier.summary();
    const signed = isCaughtUp ? await this.#sign(head) : undefined;
    return { head, finding: this.#finding, batches, signed, more: !isCaughtUp, sealedAt };
  }

  /** With a key: after what it signed last, or from the beginning. Without: from now on. */
  async #begin(): Promise<ChainVerifier> {
    const key = this.#signer?.key;
    const start = key
      ? await store.lastSignedBy(this.#db, key.kid)
      : await store.lastCheckpoint(this.#db);
    if (start === undefined) return new ChainVerifier();
    const { sequence, hash, signature } = start;
    if (key && !(signature && isSignedBy(key, sequence, hash, signature))) {
      this.#finding = { code: 'signature', sequence, detail: 'its signature is not valid' };
    }
    return new ChainVerifier({ after: { sequence, hash } });
  }

  async #sign(head: Head): Promise<bigint | undefined> {
    if (this.#signer === undefined || this.#isHeadSigned || head.sequence === 0n) return undefined;
    const { kid } = this.#signer.key;
    const isStored = await store.storeSignature(this.#db, head, {
      kid,
      bytes: this.#signer.sign(head),
    });
    this.#isHeadSigned = true;
    return isStored ? head.sequence : undefined;
  }
}
