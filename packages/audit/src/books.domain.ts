import type { AuditRecord, Checkpoint } from './line.domain.ts';

/** Accounts that show where credits are; the others are where they come from, and go below zero. */
const NEVER_NEGATIVE = new Set([
  'available',
  'held',
  'spent',
  'expired',
  'written_off',
  'refunded',
]);

interface CommunityBooks {
  readonly name: string;
  /** `undefined` while its balances aren't known. */
  accounts: Map<string, bigint> | undefined;
  lastEntry: bigint;
  lastAdjustment: bigint;
  /** Its first entry since a checkpoint has stated its balances; says nothing when there is none. */
  uncomparedSince: bigint;
}

/**
 * The balances that follow from the records. A trail that does not begin at its beginning learns a
 * community's balances from the first checkpoint that states them, and checks from then on.
 */
export class Books {
  readonly #fromStart: boolean;
  readonly #communities = new Map<string, CommunityBooks>();
  /** Those with entries that no checkpoint has stated the balances after, in the order of the first. */
  readonly #uncompared = new Set<CommunityBooks>();

  constructor(options: { readonly fromStart: boolean }) {
    this.#fromStart = options.fromStart;
  }

  /** @returns what is wrong with it, if anything. */
  apply(record: AuditRecord): string | undefined {
    const { source, from, to } = record;
    const books = this.#of(record.community);
    return source === 'adjustment' || from === null || to === null
      ? adjust(books, record)
      : this.#move(books, record, from, to);
  }

  /**
   * A checkpoint states no balances, while sealing catches up, or those of every community that has
   * records since they were stated last.
   *
   * @returns the first account that the records don't add up to, or community left out, if any.
   */
  compare(stated: Checkpoint['balances']): string | undefined {
    for (const { community, accounts } of stated) {
      const books = this.#of(community);
      if (books.accounts === undefined) books.accounts = learned(accounts);
      else {
        const wrong = differing(books.accounts, accounts);
        if (wrong !== undefined) return `community ${community}: ${wrong}`;
      }
      this.#uncompared.delete(books);
    }
    const [left] = stated.length === 0 ? [] : this.#uncompared;
    return (
      left &&
      `community ${left.name}: its balances are left out, it has records since ${left.uncomparedSince}`
    );
  }

  /** What no checkpoint has confirmed yet: how many communities, and since which link at the earliest. */
  get uncompared(): { readonly communities: number; readonly since: bigint } | undefined {
    const [first] = this.#uncompared;
    return first && { communities: this.#uncompared.size, since: first.uncomparedSince };
  }

  /** Of a community; `undefined` while its balances aren't known. */
  balances(community: string): ReadonlyMap<string, bigint> | undefined {
    return this.#communities.get(community)?.accounts;
  }

  #of(community: string): CommunityBooks {
    const known = this.#communities.get(community);
    if (known !== undefined) return known;
    const opened = {
      name: copyOf(community),
      accounts: this.#fromStart ? new Map<string, bigint>() : undefined,
      lastEntry: 0n,
      lastAdjustment: 0n,
      uncomparedSince: 0n,
    };
    this.#communities.set(opened.name, opened);
    return opened;
  }

  #move(books: CommunityBooks, record: AuditRecord, from: string, to: string): string | undefined {
    const { sequence, amountMicro, id } = record;
    if (!this.#uncompared.has(books)) {
      books.uncomparedSince = sequence;
      this.#uncompared.add(books);
    }
    // One community's entries are made one after the other; the chain keeps their order.
    if (id <= books.lastEntry) return `entry ${id} comes after entry ${books.lastEntry}`;
    books.lastEntry = id;
    if (books.accounts === undefined) return undefined;
    const left = change(books.accounts, from, -amountMicro);
    change(books.accounts, to, amountMicro);
    return left < 0n && NEVER_NEGATIVE.has(from)
      ? `entry ${id} leaves account ${from} of community ${books.name} at ${left}`
      : undefined;
  }
}

function adjust(books: CommunityBooks, { id }: AuditRecord): string | undefined {
  const last = books.lastAdjustment;
  if (id <= last) return `adjustment ${id} comes after adjustment ${last}`;
  books.lastAdjustment = id;
  return undefined;
}

/** @returns the balance after it. */
function change(accounts: Map<string, bigint>, kind: string, byMicro: bigint): bigint {
  const balance = accounts.get(kind);
  const changed = (balance ?? 0n) + byMicro;
  accounts.set(balance === undefined ? copyOf(kind) : kind, changed);
  return changed;
}

function learned(stated: Readonly<Record<string, bigint>>): Map<string, bigint> {
  return new Map(Object.entries(stated).map(([kind, micro]) => [copyOf(kind), micro]));
}

/**
 * What a line is cut into are views of the chunk of the file that it came in: kept as it is, one
 * community's name would keep a megabyte in memory.
 */
function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

function differing(
  recomputed: ReadonlyMap<string, bigint>,
  stated: Readonly<Record<string, bigint>>,
): string | undefined {
  for (const kind of new Set([...recomputed.keys(), ...Object.keys(stated)])) {
    const sum = recomputed.get(kind) ?? 0n;
    const said = Object.hasOwn(stated, kind) ? (stated[kind] ?? 0n) : 0n;
    if (sum !== said) return `account ${kind} is ${said}, its records add up to ${sum}`;
  }
  return undefined;
}
