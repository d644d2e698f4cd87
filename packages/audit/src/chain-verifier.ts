import { Books } from './books.domain.ts';
import { isSignedBy, type CheckpointKey } from './checkpoint-signature.ts';
import type { Head } from './head.domain.ts';
import { GENESIS_HASH, type AuditRecord, type Checkpoint, type Signature } from './line.domain.ts';
import { linkHash } from './link-hash.ts';
import { parseLink } from './parse-line.domain.ts';

export type FindingCode =
  /** Not the canonical form of a line. */
  | 'malformed'
  /** A sequence is missing, comes twice, or comes in another order. */
  | 'sequence'
  /** A hash does not follow from the body and the link before. */
  | 'hash'
  /** An entry that comes twice or out of order, or takes what an account does not have. */
  | 'books'
  /** The records do not add up to what a checkpoint states. */
  | 'balance'
  /** A signature is wrong, by a key that was not given, or required and absent. */
  | 'signature'
  /** The trail ends in the middle of a batch, or before the end that its header names. */
  | 'truncated'
  /** It is not the trail that an earlier head came from. */
  | 'anchor';

/** What is wrong, and with which link. */
export interface Finding {
  readonly code: FindingCode;
  /** What the link has, or what was expected. */
  readonly sequence: bigint;
  readonly detail: string;
}

export interface ChainVerifierOptions {
  /** The link before the first; the beginning of the trail when absent. */
  readonly after?: Head;
  /** Who may have signed; without any, signatures are counted and not checked. */
  readonly keys?: readonly CheckpointKey[];
  /** Heads noted earlier, which must be in this trail. */
  readonly anchors?: readonly Head[];
}

export interface ChainSummary {
  readonly head: Head;
  readonly records: number;
  readonly checkpoints: number;
  readonly signed: number;
  /** The last checkpoint with a signature: it vouches for everything before it. */
  readonly lastSigned: { readonly sequence: bigint; readonly kid: string } | undefined;
  /** Links after the last checkpoint. */
  readonly openRecords: number;
  /** Checkpoints that recorded books that did not balance, and the first of them. */
  readonly unbalanced: number;
  readonly firstUnbalanced: bigint | undefined;
  /** Communities whose records no checkpoint has stated balances after, and since which link. */
  readonly uncompared: { readonly communities: number; readonly since: bigint } | undefined;
}

/**
 * Recomputes the chain and the balances link by link. Stops for good at the first link that is
 * wrong: what comes after it proves nothing.
 */
export class ChainVerifier {
  readonly #keys: ReadonlyMap<string, CheckpointKey>;
  readonly #anchors: readonly Head[];
  readonly #books: Books;
  #head: Head;
  #batchFirst: bigint;
  #finding: Finding | undefined;
  #records = 0;
  #checkpoints = 0;
  #signed = 0;
  #lastSigned: ChainSummary['lastSigned'];
  #unbalanced = 0;
  #firstUnbalanced: bigint | undefined;

  constructor(options: ChainVerifierOptions = {}) {
    this.#head = options.after ?? { sequence: 0n, hash: GENESIS_HASH };
    this.#batchFirst = this.#head.sequence + 1n;
    this.#keys = new Map(options.keys?.map((key) => [key.kid, key]));
    this.#anchors = options.anchors ?? [];
    this.#books = new Books({ fromStart: this.#head.sequence === 0n });
    this.#checkAnchor();
  }

  /** The first thing that is wrong, if anything was so far. */
  get finding(): Finding | undefined {
    return this.#finding;
  }

  /** The last link that was intact. */
  get head(): Head {
    return this.#head;
  }

  /** @returns what is wrong with this link, or was with an earlier one. */
  accept(line: string): Finding | undefined {
    if (this.#finding !== undefined) return this.#finding;
    const expected = this.#head.sequence + 1n;
    const parsed = parseLink(line);
    if (parsed === undefined) {
      return this.#found('malformed', expected, 'the line is not in canonical form');
    }
    const { link, body, hash } = parsed;
    const { sequence } = link.value;
    if (sequence !== expected) {
      return this.#found('sequence', sequence, `sequence ${expected} was expected here`);
    }
    if (linkHash(this.#head.hash, body) !== hash) {
      const detail = 'its hash does not follow from its content and the link before it';
      return this.#found('hash', sequence, detail);
    }
    this.#head = { sequence, hash };
    if (link.type === 'record') this.#acceptRecord(link.value);
    else this.#acceptCheckpoint(link.value, link.signature);
    this.#checkAnchor();
    return this.#finding;
  }

  summary(): ChainSummary {
    return {
      head: this.#head,
      records: this.#records,
      checkpoints: this.#checkpoints,
      signed: this.#signed,
      lastSigned: this.#lastSigned,
      openRecords: Number(this.#head.sequence + 1n - this.#batchFirst),
      unbalanced: this.#unbalanced,
      firstUnbalanced: this.#firstUnbalanced,
      uncompared: this.#books.uncompared,
    };
  }

  /** Of a community, as the records add up; `undefined` while they aren't known. */
  balances(community: string): ReadonlyMap<string, bigint> | undefined {
    return this.#books.balances(community);
  }

  #acceptRecord(record: AuditRecord): void {
    this.#records += 1;
    const wrong = this.#books.apply(record);
    if (wrong !== undefined) this.#found('books', record.sequence, wrong);
  }

  #acceptCheckpoint(checkpoint: Checkpoint, signature: Signature | undefined): void {
    const { sequence, first, balances, conservation } = checkpoint;
    if (first !== this.#batchFirst) {
      const detail = `its batch begins at ${this.#batchFirst}, not at ${first}`;
      this.#found('sequence', sequence, detail);
      return;
    }
    this.#batchFirst = sequence + 1n;
    this.#checkpoints += 1;
    if (conservation.violations > 0n) {
      this.#unbalanced += 1;
      this.#firstUnbalanced ??= sequence;
    }
    const wrong = this.#books.compare(balances);
    if (wrong !== undefined) this.#found('balance', sequence, wrong);
    else if (signature !== undefined) this.#checkSignature(sequence, signature);
  }

  #checkSignature(sequence: bigint, signature: Signature): void {
    const key = this.#keys.get(signature.kid);
    if (this.#keys.size > 0) {
      if (key === undefined) {
        const detail = `it is signed by ${signature.kid}, which is none of the given keys`;
        this.#found('signature', sequence, detail);
        return;
      }
      if (!isSignedBy(key, sequence, this.#head.hash, signature)) {
        this.#found('signature', sequence, 'its signature is not valid');
        return;
      }
    }
    this.#signed += 1;
    this.#lastSigned = { sequence, kid: signature.kid };
  }

  #checkAnchor(): void {
    const { sequence, hash } = this.#head;
    const noted = this.#anchors.find((head) => head.sequence === sequence && head.hash !== hash);
    if (noted !== undefined) {
      this.#found('anchor', sequence, `its hash was noted as ${noted.hash} before`);
    }
  }

  #found(code: FindingCode, sequence: bigint, detail: string): Finding {
    this.#finding ??= { code, sequence, detail };
    return this.#finding;
  }
}
