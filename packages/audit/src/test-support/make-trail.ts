import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { checkpointKey, signingInput, type CheckpointKey } from '../checkpoint-signature.ts';
import {
  GENESIS_HASH,
  checkpointBody,
  checkpointLine,
  headerLine,
  recordBody,
  recordLine,
  type AuditRecord,
  type Checkpoint,
} from '../line.domain.ts';
import { linkHash } from '../link-hash.ts';

export const COMMUNITIES = [
  '0c000000-0000-4000-8000-000000000001',
  '0c000000-0000-4000-8000-000000000002',
] as const;
const AT = '2026-11-22T12:00:00.000001Z';

export interface Move {
  readonly community: string;
  readonly kind: string;
  readonly from: string;
  readonly to: string;
  readonly amountMicro: bigint;
}

export interface Signer {
  readonly key: CheckpointKey;
  readonly privateKey: KeyObject;
}

export function newSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = checkpointKey(publicKey);
  if (key === undefined) throw new Error('the key is not on P-256');
  return { key, privateKey };
}

/** A trail written link by link, honestly unless told otherwise. */
export class TrailWriter {
  readonly lines: string[] = [];
  readonly #balances = new Map<string, Map<string, bigint>>();
  readonly #signer: Signer | undefined;
  #hash = GENESIS_HASH;
  #sequence = 0n;
  #first = 1n;
  #entry = 0n;

  constructor(signer?: Signer) {
    this.#signer = signer;
  }

  get head() {
    return { sequence: this.#sequence, hash: this.#hash };
  }

  entry(move: Move, change: Partial<AuditRecord> = {}): void {
    const books = this.#balances.get(move.community) ?? new Map<string, bigint>();
    this.#balances.set(move.community, books);
    books.set(move.from, (books.get(move.from) ?? 0n) - move.amountMicro);
    books.set(move.to, (books.get(move.to) ?? 0n) + move.amountMicro);
    this.#entry += 1n;
    this.#record({ source: 'entry', id: this.#entry, ...move, ...change });
  }

  adjustment(community: string, amountMicro: bigint, change: Partial<AuditRecord> = {}): void {
    const none = { from: null, to: null } as const;
    this.#entry += 1n;
    const id = this.#entry;
    this.#record({
      source: 'adjustment',
      id,
      community,
      kind: 'expiry',
      amountMicro,
      ...none,
      ...change,
    });
  }

  checkpoint(change: Partial<Checkpoint> = {}): void {
    const balances = [...this.#balances].map(([community, accounts]) => ({
      community,
      accounts: Object.fromEntries(accounts),
    }));
    const sequence = this.#sequence + 1n;
    const conservation = { depth: 'quick', violations: 0n, driftMicro: 0n };
    const body = checkpointBody({
      ...{ sequence, at: AT, first: this.#first, conservation, balances },
      ...change,
    });
    this.#link(body);
    this.#first = this.#sequence + 1n;
    this.lines.push(checkpointLine(body, this.#hash, this.#signature()));
  }

  /** The export, header and all. */
  all(after = { sequence: 0n, hash: GENESIS_HASH }): string[] {
    const header = headerLine({
      after: after.sequence,
      last: this.#sequence,
      previous: after.hash,
      exportedAt: '2026-11-22T12:00:01.000Z',
    });
    return [header, ...this.lines.slice(Number(after.sequence))];
  }

  #record(record: Omit<AuditRecord, 'sequence' | 'at' | 'reservation' | 'lot'>): void {
    const sequence = this.#sequence + 1n;
    const body = recordBody({ sequence, at: AT, reservation: null, lot: null, ...record });
    this.#link(body);
    this.lines.push(recordLine(body, this.#hash));
  }

  #link(body: string): void {
    this.#hash = linkHash(this.#hash, body);
    this.#sequence += 1n;
  }

  #signature() {
    if (this.#signer === undefined) return undefined;
    const { key, privateKey } = this.#signer;
    const how = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const;
    const value = sign('sha256', signingInput(this.#sequence, this.#hash), how);
    return { kid: key.kid, value: value.toString('base64url') };
  }
}

export function mint(community: string, amountMicro: bigint): Move {
  return { community, kind: 'mint', from: 'minted', to: 'available', amountMicro };
}

export function hold(community: string, amountMicro: bigint): Move {
  return { community, kind: 'hold', from: 'available', to: 'held', amountMicro };
}

/** Header, two batches of three records, two checkpoints: nine lines. */
export function smallTrail(signer?: Signer): TrailWriter {
  const trail = new TrailWriter(signer);
  const [one, two] = COMMUNITIES;
  trail.entry(mint(one, 100n));
  trail.entry(hold(one, 40n));
  trail.entry(mint(two, 7n));
  trail.checkpoint();
  trail.entry({ community: one, kind: 'capture', from: 'held', to: 'spent', amountMicro: 15n });
  trail.entry({ community: one, kind: 'release', from: 'held', to: 'available', amountMicro: 25n });
  trail.adjustment(two, -7n);
  trail.checkpoint();
  return trail;
}

export async function* inChunks(lines: readonly string[]): AsyncGenerator<readonly string[]> {
  await Promise.resolve();
  for (const line of lines) yield [line];
}
