/**
 * The form of an export, line by line. A header, then records and checkpoints: each of those is a
 * link, whose hash covers its body and the hash of the link before it. The body is the line without
 * `hash`, `kid` and `signature`, in exactly this order of members and without white space, so that a
 * line can be checked as it stands. Integers are decimal strings: no reader loses digits.
 */
export const FORMAT = 'arrakis-audit-1';

/** What the first link's hash goes on from. */
export const GENESIS_HASH = '0'.repeat(64);

export interface Header {
  /** Sequence of the link before the first line; 0 for a whole trail. */
  readonly after: bigint;
  /** Sequence of the last line. */
  readonly last: bigint;
  /** Hash of the link `after`. */
  readonly previous: string;
  /** ISO 8601, UTC. */
  readonly exportedAt: string;
}

/** One credit operation. */
export interface AuditRecord {
  readonly sequence: bigint;
  /** `entry` moves an amount from one account to another; `adjustment` changes a lot, no account. */
  readonly source: 'entry' | 'adjustment';
  readonly id: bigint;
  /** ISO 8601, UTC, six digits of a second. */
  readonly at: string;
  readonly community: string;
  readonly kind: string;
  /** Kinds of account of the community; null for an adjustment. */
  readonly from: string | null;
  readonly to: string | null;
  /** Above 0 for an entry; signed and not 0 for an adjustment. */
  readonly amountMicro: bigint;
  readonly reservation: string | null;
  readonly lot: string | null;
}

/** The end of a batch: what the books said when it was sealed. */
export interface Checkpoint {
  readonly sequence: bigint;
  readonly at: string;
  /** First record of its batch. */
  readonly first: bigint;
  readonly conservation: {
    readonly depth: string;
    /** Equations of the books that did not hold. */
    readonly violations: bigint;
    readonly driftMicro: bigint;
  };
  /** Of the communities whose operations were sealed; empty while sealing catches up. */
  readonly balances: readonly {
    readonly community: string;
    readonly accounts: Readonly<Record<string, bigint>>;
  }[];
}

export interface Signature {
  readonly kid: string;
  /** ES256 in its 64 bytes, base64url. */
  readonly value: string;
}

export type Link =
  | { readonly type: 'record'; readonly value: AuditRecord }
  | {
      readonly type: 'checkpoint';
      readonly value: Checkpoint;
      readonly signature: Signature | undefined;
    };

/** A link as it stands in a line. */
export interface LinkLine {
  readonly link: Link;
  readonly body: string;
  /** 64 lower-case hex digits. */
  readonly hash: string;
}

export function headerLine(header: Header): string {
  const { after, last, previous, exportedAt } = header;
  return `{"type":"header","format":"${FORMAT}","after":"${after}","last":"${last}","previous":"${previous}","exported_at":"${exportedAt}"}`;
}

export function recordBody(record: AuditRecord): string {
  const { sequence, source, id, at, community, kind, amountMicro } = record;
  return `{"type":"record","sequence":"${sequence}","source":"${source}","id":"${id}","at":"${at}","community":"${community}","kind":"${kind}","from":${quoted(record.from)},"to":${quoted(record.to)},"amount_micro":"${amountMicro}","reservation":${quoted(record.reservation)},"lot":${quoted(record.lot)}}`;
}

export function checkpointBody(checkpoint: Checkpoint): string {
  const { sequence, at, first, conservation } = checkpoint;
  const balances = checkpoint.balances.map(({ community, accounts }) => {
    const inside = Object.entries(accounts).map(([kind, micro]) => `"${kind}":"${micro}"`);
    return `{"community":"${community}","accounts":{${inside.join(',')}}}`;
  });
  return `{"type":"checkpoint","sequence":"${sequence}","at":"${at}","first":"${first}","conservation":{"depth":"${conservation.depth}","violations":"${conservation.violations}","drift_micro":"${conservation.driftMicro}"},"balances":[${balances.join(',')}]}`;
}

export function recordLine(body: string, hash: string): string {
  return `${body.slice(0, -1)},"hash":"${hash}"}`;
}

export function checkpointLine(
  body: string,
  hash: string,
  signature: Signature | undefined,
): string {
  const kid = quoted(signature?.kid ?? null);
  return `${body.slice(0, -1)},"hash":"${hash}","kid":${kid},"signature":${quoted(signature?.value ?? null)}}`;
}

function quoted(text: string | null): string {
  return text === null ? 'null' : `"${text}"`;
}
