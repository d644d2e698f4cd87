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
  readonly accounts: Map<string, bigint>;
  lastEntry: bigint;
}

/**
 * The balances that follow from the records. A trail that does not begin at its beginning learns a
 * community's balances from the first checkpoint that states them, and checks from then on.
 */
export class Books {
  readonly #fromStart: boolean;
  readonly #communities = new Map<string, CommunityBooks>();
  /** Entries of communities whose balances aren't known. */
  readonly #lastEntries = new Map<string, bigint>();
  readonly #lastAdjustments = new Map<string, bigint>();
  /** Communities with entries that no checkpoint has stated the balances after, and since which link. */
  readonly #uncompared = new Map<string, bigint>();

  constructor(options: { readonly fromStart: boolean }) {
    this.#fromStart = options.fromStart;
  }

  /** @returns what is wrong with it, if anything. */
  apply(record: AuditRecord): string | undefined {
    const { source, from, to } = record;
    return source === 'adjustment' || from === null || to === null
      ? this.#adjust(record)
      : this.#move(record, from, to);
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
      if (books === undefined) this.#learn(community, accounts);
      else {
        const wrong = differing(books.accounts, accounts);
        if (wrong !== undefined) return `community ${community}: ${wrong}`;
      }
      this.#uncompared.delete(community);
    }
    const [left] = stated.length === 0 ? [] : this.#uncompared;
    return (
      left && `community ${left[0]}: its balances are left out, it has records since ${left[1]}`
    );
  }

  /** What no checkpoint has confirmed yet: how many communities, and since which link at the earliest. */
  get uncompared(): { readonly communities: number; readonly since: bigint } | undefined {
    const [first] = this.#uncompared.values();
    return first === undefined ? undefined : { communities: this.#uncompared.size, since: first };
  }

  /** Of a community; `undefined` while its balances aren't known. */
  balances(community: string): ReadonlyMap<string, bigint> | undefined {
    return this.#communities.get(community)?.accounts;
  }

  #of(community: string): CommunityBooks | undefined {
    const known = this.#communities.get(community);
    if (known !== undefined || !this.#fromStart) return known;
    const opened = { accounts: new Map<string, bigint>(), lastEntry: 0n };
    this.#communities.set(community, opened);
    return opened;
  }

  #adjust({ community, id }: AuditRecord): string | undefined {
    const last = this.#lastAdjustments.get(community) ?? 0n;
    if (id <= last) return `adjustment ${id} comes after adjustment ${last}`;
    this.#lastAdjustments.set(community, id);
    return undefined;
  }

  #move(record: AuditRecord, from: string, to: string): string | undefined {
    const { sequence, community, amountMicro, id } = record;
    if (!this.#uncompared.has(community)) this.#uncompared.set(community, sequence);
    const books = this.#of(community);
    if (books === undefined) return this.#unknown(community, id);
    // One community's entries are made one after the other; the chain keeps their order.
    if (id <= books.lastEntry) return `entry ${id} comes after entry ${books.lastEntry}`;
    books.lastEntry = id;
    const left = (books.accounts.get(from) ?? 0n) - amountMicro;
    const arrived = (books.accounts.get(to) ?? 0n) + amountMicro;
    books.accounts.set(from, left);
    books.accounts.set(to, arrived);
    return left < 0n && NEVER_NEGATIVE.has(from)
      ? `entry ${id} leaves account ${from} of community ${community} at ${left}`
      : undefined;
  }

  #unknown(community: string, id: bigint): string | undefined {
    const last = this.#lastEntries.get(community) ?? 0n;
    if (id <= last) return `entry ${id} comes after entry ${last}`;
    this.#lastEntries.set(community, id);
    return undefined;
  }

  #learn(community: string, accounts: Readonly<Record<string, bigint>>): void {
    this.#communities.set(community, {
      accounts: new Map(Object.entries(accounts)),
      lastEntry: this.#lastEntries.get(community) ?? 0n,
    });
    this.#lastEntries.delete(community);
  }
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
