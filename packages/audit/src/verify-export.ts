import { ChainVerifier, type ChainSummary, type Finding } from './chain-verifier.ts';
import type { CheckpointKey } from './checkpoint-signature.ts';
import type { Head } from './head.domain.ts';
import { GENESIS_HASH } from './line.domain.ts';
import { parseHeader } from './parse-line.domain.ts';

export interface VerifyOptions {
  /** Who may have signed. With any, something in the trail must be signed. */
  readonly keys?: readonly CheckpointKey[];
  readonly anchors?: readonly Head[];
  /** The last checkpoint must be signed by one of the keys. */
  readonly requireSignature?: boolean;
}

export interface Verdict {
  /** The first wrong line, counted from 1; one after the last when something is missing at the end. */
  readonly broken: (Finding & { readonly line: number }) | undefined;
  readonly lines: number;
  /** The link before the first line. */
  readonly after: Head | undefined;
  /** What was intact: everything, or what is before the broken line. */
  readonly summary: ChainSummary | undefined;
}

/** Recomputes an export from its lines, as they come. */
export async function verifyExport(
  lines: AsyncIterable<readonly string[]>,
  options: VerifyOptions = {},
): Promise<Verdict> {
  const verification = new ExportVerification(options);
  for await (const chunk of lines) {
    for (const line of chunk) {
      if (verification.accept(line)) return verification.verdict();
    }
  }
  verification.end();
  return verification.verdict();
}

class ExportVerification {
  readonly #options: VerifyOptions;
  #lines = 0;
  #chain: ChainVerifier | undefined;
  #after: Head | undefined;
  #last = 0n;
  #broken: Verdict['broken'];

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  /** @returns true when this line is wrong. */
  accept(line: string): boolean {
    this.#lines += 1;
    if (this.#chain === undefined) this.#begin(line);
    else this.#note(this.#chain.accept(line) ?? this.#tooMany(this.#chain));
    return this.#broken !== undefined;
  }

  end(): void {
    if (this.#broken !== undefined) return;
    // What is missing would have been the next line.
    this.#lines += 1;
    this.#note(this.#missing());
    this.#lines -= 1;
  }

  verdict(): Verdict {
    return {
      broken: this.#broken,
      lines: this.#lines,
      after: this.#after,
      summary: this.#chain?.summary(),
    };
  }

  #begin(line: string): void {
    const header = parseHeader(line);
    const isHeader =
      header !== undefined && (header.after > 0n || header.previous === GENESIS_HASH);
    if (!isHeader) {
      this.#note({ code: 'malformed', sequence: 0n, detail: 'it is not the header of an export' });
      return;
    }
    this.#last = header.last;
    this.#after = { sequence: header.after, hash: header.previous };
    this.#chain = new ChainVerifier({
      after: this.#after,
      keys: this.#options.keys ?? [],
      anchors: this.#options.anchors ?? [],
    });
    this.#note(this.#tooLate(header.after) ?? this.#chain.finding);
  }

  /** A head that can't be looked for must not count as found. */
  #tooLate(after: bigint): Finding | undefined {
    const before = this.#options.anchors?.find((anchor) => anchor.sequence < after);
    if (before === undefined) return undefined;
    const detail = `it begins after sequence ${before.sequence}, which was noted before`;
    return { code: 'anchor', sequence: before.sequence, detail };
  }

  #tooMany(chain: ChainVerifier): Finding | undefined {
    const { sequence } = chain.head;
    if (sequence <= this.#last) return undefined;
    const detail = `the header says that the trail ends at sequence ${this.#last}`;
    return { code: 'sequence', sequence, detail };
  }

  #missing(): Finding | undefined {
    if (this.#chain === undefined) {
      return { code: 'truncated', sequence: 0n, detail: 'there is no header' };
    }
    const summary = this.#chain.summary();
    const { head, openRecords } = summary;
    const sequence = head.sequence + 1n;
    if (openRecords > 0) {
      const detail = `the checkpoint after the last ${openRecords} records is missing`;
      return { code: 'truncated', sequence, detail };
    }
    if (head.sequence !== this.#last) {
      const detail = `it ends at sequence ${head.sequence}; its header says ${this.#last}`;
      return { code: 'truncated', sequence, detail };
    }
    const beyond = this.#options.anchors?.find((anchor) => anchor.sequence > head.sequence);
    if (beyond !== undefined) {
      const detail = `it ends before sequence ${beyond.sequence}, which was noted before`;
      return { code: 'truncated', sequence, detail };
    }
    return this.#unsigned(summary);
  }

  /** Whoever makes a trail anew without the key leaves signatures out. */
  #unsigned({ head, checkpoints, lastSigned }: ChainSummary): Finding | undefined {
    const { keys = [], requireSignature } = this.#options;
    const sequence = head.sequence + 1n;
    if (requireSignature === true && lastSigned?.sequence !== head.sequence) {
      return { code: 'signature', sequence, detail: 'the last checkpoint is not signed' };
    }
    if (keys.length > 0 && checkpoints > 0 && lastSigned === undefined) {
      return { code: 'signature', sequence, detail: 'nothing in it is signed' };
    }
    return undefined;
  }

  #note(finding: Finding | undefined): void {
    if (finding !== undefined) this.#broken ??= { ...finding, line: this.#lines };
  }
}
