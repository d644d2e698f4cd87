import { ChainVerifier, isSignedBy, type Finding, type Head } from '@arrakis/audit';
import type { Queryable } from '@arrakis/postgres';
import type { CheckpointSigner } from './checkpoint-signer.ts';
import { readBatch } from './export.ts';
import * as store from './store.ts';

export interface TrailCheckOptions {
  readonly db: Queryable;
  readonly signer: CheckpointSigner | undefined;
  /** Noted where whoever has this database can't reach it: the trail must go through it. */
  readonly anchor?: Head | undefined;
}

/** What a signature of this process vouches for. */
export interface SignedHead extends Head {
  readonly kid: string;
}

export interface CheckResult {
  /** Set by the run that began: the link after which this process checks, 0 for all of them. */
  readonly began: Head | undefined;
  /** Last link that was checked. */
  readonly head: Head;
  /** What is wrong, once and for all; only a new process begins anew. */
  readonly finding: Finding | undefined;
  /** Batches read by this run. */
  readonly batches: number;
  /** The checkpoint that this run signed, if any. */
  readonly signed: SignedHead | undefined;
  /** Not everything that was sealed is checked yet. */
  readonly more: boolean;
  /** When the last batch was sealed that this run has checked, if any. */
  readonly sealedAt: Date | undefined;
}

/**
 * Reads what was sealed, recomputes it by the verifier that strangers use, and signs the newest
 * checkpoint. It signs only what goes on from what it has checked itself, so that whoever rewrites the
 * trail behind a running worker does not get the new one signed. A new process knows no more than the
 * database: where signatures were removed together with what they vouched for, it goes on from an
 * older one, or from the beginning. Against that helps the anchor alone: a link that must be in the trail.
 */
export class TrailCheck {
  readonly #db: Queryable;
  readonly #signer: CheckpointSigner | undefined;
  readonly #anchor: Head | undefined;
  #verifier: ChainVerifier | undefined;
  #finding: Finding | undefined;
  #isHeadSigned = true;

  constructor(options: TrailCheckOptions) {
    this.#db = options.db;
    this.#signer = options.signer;
    this.#anchor = options.anchor;
  }

  /** Goes on from where the last run ended, as long as `goesOn` says so of the batches so far. */
  async run(goesOn: (batches: number) => boolean): Promise<CheckResult> {
    const isFirst = this.#verifier === undefined;
    const verifier = (this.#verifier ??= await this.#begin());
    const start = verifier.head;
    const { isCaughtUp, ...read } = await this.#read(verifier, goesOn);
    const { head } = verifier;
    if (isCaughtUp) this.#finding ??= this.#missing(head);
    const signed = isCaughtUp ? await this.#sign(head) : undefined;
    const began = isFirst ? start : undefined;
    return { ...read, began, head, finding: this.#finding, signed, more: !isCaughtUp };
  }

  async #read(verifier: ChainVerifier, goesOn: (batches: number) => boolean) {
    let batches = 0;
    let sealedAt: Date | undefined;
    while (this.#finding === undefined && (batches === 0 || goesOn(batches))) {
      const batch = await readBatch(this.#db, verifier.head.sequence);
      if (batch === undefined) return { batches, sealedAt, isCaughtUp: true };
      batches += 1;
      for (const line of batch.lines) this.#finding ??= verifier.accept(line);
      this.#isHeadSigned = batch.checkpoint.signature !== undefined;
      sealedAt = batch.checkpoint.sealedAt;
    }
    return { batches, sealedAt, isCaughtUp: false };
  }

  /** With a key: after what it signed last, or from the beginning. Without: from now on. */
  async #begin(): Promise<ChainVerifier> {
    const key = this.#signer?.key;
    const start = key
      ? await store.lastSignedBy(this.#db, key.kid)
      : await store.lastCheckpoint(this.#db);
    const anchors = this.#anchor === undefined ? [] : [this.#anchor];
    if (start === undefined) return new ChainVerifier({ anchors });
    const { sequence, hash, signature } = start;
    if (key && !(signature && isSignedBy(key, sequence, hash, signature))) {
      this.#finding = { code: 'signature', sequence, detail: 'its signature is not valid' };
    }
    const verifier = new ChainVerifier({ after: { sequence, hash }, anchors });
    this.#finding ??= verifier.finding;
    return verifier;
  }

  /** A trail that ends before what was noted of it has lost its end. */
  #missing(head: Head): Finding | undefined {
    if (this.#anchor === undefined || head.sequence >= this.#anchor.sequence) return undefined;
    const detail = `it ends before sequence ${this.#anchor.sequence}, which was noted before`;
    return { code: 'truncated', sequence: head.sequence + 1n, detail };
  }

  async #sign(head: Head): Promise<SignedHead | undefined> {
    if (this.#finding !== undefined || head.sequence === 0n) return undefined;
    if (this.#signer === undefined || this.#isHeadSigned) return undefined;
    const { kid } = this.#signer.key;
    const isStored = await store.storeSignature(this.#db, head, {
      kid,
      bytes: this.#signer.sign(head),
    });
    this.#isHeadSigned = true;
    return isStored ? { ...head, kid } : undefined;
  }
}
