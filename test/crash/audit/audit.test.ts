import { describe, expect, it } from 'vitest';
import { NO_PAYMENTS } from '../payments/types.ts';
import type { CallRecord, Evidence, ProviderRecord, Verdict } from '../types.ts';
import { casesOf } from './answers.ts';
import { byReservation, type Books } from './books.ts';
import { ANSWERED_ONCE, auditAnsweredOnce } from './carriers.ts';
import {
  CHARGED_ONCE,
  NOTHING_FOR_NOTHING,
  ONE_ANSWER_ONE_CHARGE,
  auditCharges,
} from './charges.ts';
import {
  CONSERVATION,
  ENTRIES,
  LOTS,
  OVERDRAFT,
  TERMINAL,
  VIEWS,
  auditEquations,
} from './equations.ts';
import { READS, TOLD, auditReads, auditTold } from './told.ts';

/** Each check has to be able to fail: right books pass, and each way of bending them is named. */

const C = 'c-1';
const R = 'r-1';
/** 40 prompt and 100 completion tokens of the pool `cheap`: 6 + 60. */
const CHARGE = 66n;
const HOLD = 1_000n;
const MINTED = 5_000n;

function books(): Books {
  const entry = (
    from: string,
    to: string,
    amount: bigint,
    kind: string,
  ): Books['entries'][number] => ({
    community_id: C,
    from_kind: from,
    to_kind: to,
    from_community: C,
    to_community: C,
    amount_micro: amount,
    kind,
    reservation_id: kind === 'mint' ? null : R,
  });
  const balance = (kind: string, amount: bigint): Books['accounts'][number] => ({
    community_id: C,
    kind,
    balance_micro: amount,
  });
  return {
    accounts: [
      balance('minted', -MINTED),
      balance('absorbed', 0n),
      balance('available', MINTED - CHARGE),
      balance('held', 0n),
      balance('spent', CHARGE),
      balance('expired', 0n),
      balance('written_off', 0n),
    ],
    reservations: [
      {
        id: R,
        community_id: C,
        pool: 'cheap',
        prompt_tokens: 1_000,
        max_tokens: 500,
        hold_micro: HOLD,
        status: 'finalized',
        relayed_completion_tokens: 0,
        settled_by: 'done_event',
        charge_micro: CHARGE,
        created_at: new Date(0),
      },
    ],
    spends: [
      {
        budget_reservation_id: R,
        kind: 'capture',
        pool_used: 'cheap',
        prompt_tokens: 40,
        completion_tokens: 100,
        charge_micro: CHARGE,
        written_off_micro: 0n,
      },
    ],
    corrections: [],
    entries: [
      entry('minted', 'available', MINTED, 'mint'),
      entry('available', 'held', HOLD, 'hold'),
      entry('held', 'spent', CHARGE, 'capture'),
      entry('held', 'available', HOLD - CHARGE, 'release'),
    ],
    lots: [
      {
        id: 'l-1',
        community_id: C,
        original_micro: MINTED,
        remaining_micro: MINTED - CHARGE,
        allocated_micro: CHARGE,
        adjusted_micro: 0n,
      },
    ],
    drift: [],
  };
}

const CALL: CallRecord = {
  marker: 'm-1',
  requestId: R,
  community: C,
  replica: 0,
  route: 'inference',
  stream: true,
  maxTokens: 500,
  startedAtMs: 0,
  endedAtMs: 1,
  status: 200,
  text: ' water sand',
  sawDone: true,
  usage: { promptTokens: 40, completionTokens: 100 },
  outcome: 'completed',
};

const ANSWER: ProviderRecord = {
  marker: 'm-1',
  atMs: 0,
  endedAtMs: 1,
  pool: 'cheap',
  stream: true,
  promptTokens: 40,
  completionTokens: 100,
  pieces: [' water', ' sand'],
  usageReported: true,
  plan: 'well',
  outcome: 'completed',
};

const BALANCE: CallRecord = {
  ...CALL,
  marker: 'b-1',
  requestId: undefined,
  route: 'balance',
  text: JSON.stringify({
    available: '4000',
    held: '900',
    spent: '100',
    expired: '0',
    minted: '5000',
    refunded: '0',
    debt: '0',
    lots: [{ remaining: '4900' }],
  }),
};

interface Facts {
  readonly books: Books;
  readonly evidence: Evidence;
}

const RIGHT: Facts = {
  books: books(),
  evidence: { calls: [CALL, BALANCE], provider: [ANSWER], faults: [], payments: NO_PAYMENTS },
};

function auditAll({ books: rows, evidence }: Facts): Verdict[] {
  const settled = byReservation(rows);
  const community = {
    id: C,
    slug: 'one',
    apiKeys: ['key'] as const,
    agents: [{ nftId: 'n', slug: 'a', pool: 'cheap' }] as const,
    hot: true,
    poor: false,
    prepaid: false,
    fundedMicro: MINTED,
  };
  return [
    ...auditEquations(rows, settled, [community]),
    ...auditCharges(casesOf(settled, evidence)),
    auditTold(settled, evidence),
    auditReads(evidence),
    auditAnsweredOnce(evidence),
  ];
}

/** The invariants that these facts break. */
function broken(facts: { readonly books?: Partial<Books>; readonly evidence?: Partial<Evidence> }) {
  return auditAll({
    books: { ...RIGHT.books, ...facts.books },
    evidence: { ...RIGHT.evidence, ...facts.evidence },
  })
    .filter(({ ok }) => !ok)
    .map(({ invariant }) => invariant);
}

const reservation = RIGHT.books.reservations[0]!;
const spend = RIGHT.books.spends[0]!;
const { accounts, entries, lots } = RIGHT.books;

function withBalance(kind: string, change: bigint): Books['accounts'] {
  return accounts.map((row) =>
    row.kind === kind ? { ...row, balance_micro: row.balance_micro + change } : row,
  );
}

describe('the audit', () => {
  it('finds nothing wrong with right books', () => {
    expect(broken({})).toEqual([]);
  });

  it('finds a balance that its entries do not make', () => {
    expect(broken({ books: { accounts: withBalance('spent', 1n) } })).toEqual([
      ENTRIES,
      CONSERVATION,
    ]);
  });

  it('finds credits that were minted without having been bought', () => {
    const more = { ...entries[0]!, amount_micro: 1n };
    const minted = withBalance('minted', -1n).map((row) =>
      row.kind === 'available' ? { ...row, balance_micro: row.balance_micro + 1n } : row,
    );
    expect(broken({ books: { entries: [...entries, more], accounts: minted } })).toContain(
      CONSERVATION,
    );
  });

  describe('of what was bought, and partly refunded', () => {
    const move = (from: string, to: string, amount: bigint, kind: string) => ({
      ...entries[0]!,
      from_kind: from,
      to_kind: to,
      amount_micro: amount,
      kind,
    });
    const account = (kind: string, balance: bigint) => ({
      community_id: C,
      kind,
      balance_micro: balance,
    });
    const bought: Pick<Books, 'accounts' | 'entries' | 'lots'> = {
      accounts: [
        ...withBalance('available', 105n - 30n),
        account('crypto_receipts', -100n),
        account('bonus', -5n),
        account('refunded', 30n),
      ],
      entries: [
        ...entries,
        move('crypto_receipts', 'available', 100n, 'mint'),
        move('bonus', 'available', 5n, 'bonus'),
        move('available', 'refunded', 30n, 'refund'),
      ],
      lots: [
        ...lots,
        {
          id: 'l-2',
          community_id: C,
          original_micro: 105n,
          remaining_micro: 75n,
          allocated_micro: 0n,
          adjusted_micro: -30n,
        },
      ],
    };

    it('finds nothing wrong with right books', () => {
      expect(broken({ books: bought })).toEqual([]);
    });

    it.each(['crypto_receipts', 'bonus', 'refunded'])('finds a %s that is off', (kind) => {
      const off = bought.accounts.map((row) =>
        row.kind === kind ? { ...row, balance_micro: row.balance_micro + 1n } : row,
      );
      expect(broken({ books: { ...bought, accounts: off } })).toEqual([ENTRIES, CONSERVATION]);
    });

    it('finds receipts that stand above zero', () => {
      const above = bought.accounts.map((row) =>
        row.kind === 'bonus' ? { ...row, balance_micro: 5n } : row,
      );
      expect(broken({ books: { ...bought, accounts: above } })).toContain(OVERDRAFT);
    });
  });

  it('finds an overdrawn account', () => {
    expect(broken({ books: { accounts: withBalance('available', -MINTED) } })).toContain(OVERDRAFT);
  });

  it('finds a lot from which more was taken than its allocations say', () => {
    const wrong = lots.map((lot) => ({ ...lot, remaining_micro: lot.remaining_micro - 1n }));
    expect(broken({ books: { lots: wrong } })).toEqual([LOTS]);
  });

  it('finds what the views of the database find', () => {
    const drift = [{ community_id: C, equation: 'held = open holds', drift: '7' }];
    expect(broken({ books: { drift } })).toEqual([VIEWS]);
  });

  it('finds an open hold, and one that moved its money twice', () => {
    const open = { ...reservation, status: 'streaming' };
    expect(broken({ books: { reservations: [open] } })).toContain(TERMINAL);
    expect(broken({ books: { entries: [...entries, entries[2]!] } })).toContain(TERMINAL);
    expect(broken({ books: { spends: [spend, spend] } })).toContain(TERMINAL);
  });

  it.each([
    ['one micro-credit too much', { charge_micro: CHARGE + 1n }],
    ['more than the hold', { hold_micro: CHARGE - 1n }],
    ['nothing, though the client has its answer', { charge_micro: 0n, status: 'released' }],
  ])('finds a charge of %s', (_what, change) => {
    const wrong = { ...reservation, ...change };
    expect(broken({ books: { reservations: [wrong] } })).toContain(CHARGED_ONCE);
  });

  it('finds a charge for tokens that the provider never sent', () => {
    const cut: ProviderRecord = { ...ANSWER, completionTokens: 2, outcome: 'cut' };
    const call: CallRecord = { ...CALL, outcome: 'cut', usage: undefined };
    expect(broken({ evidence: { calls: [call], provider: [cut] } })).toEqual([CHARGED_ONCE]);
  });

  it('finds a charge for fewer tokens than the client provably got', () => {
    const call: CallRecord = { ...CALL, outcome: 'cut', text: ' water'.repeat(101) };
    expect(broken({ evidence: { calls: [call] } })).toEqual([CHARGED_ONCE]);
  });

  it.each([
    ['was told 503', { ...CALL, status: 503, outcome: 'unavailable', text: '' }, [ANSWER]],
    ['got none', { ...CALL, outcome: 'left', text: '' }, [{ ...ANSWER, pieces: [] }]],
  ] as const)('finds a charge for an answer whose client %s', (_what, call, [answer]) => {
    const provider = [{ ...answer, pieces: [...answer.pieces] }];
    expect(broken({ evidence: { calls: [call], provider } })).toContain(NOTHING_FOR_NOTHING);
  });

  it('finds one answer charged to two holds', () => {
    const other = { ...reservation, id: 'r-2' };
    const wrong = {
      reservations: [reservation, other],
      spends: [spend, { ...spend, budget_reservation_id: 'r-2' }],
    };
    expect(broken({ books: wrong })).toContain(ONE_ANSWER_ONE_CHARGE);
  });

  it.each([
    ['other counts', { ...CALL, usage: { promptTokens: 40, completionTokens: 99 } }],
    ['402, though a hold was made', { ...CALL, status: 402, outcome: 'refused', text: '' }],
    ['an answer that no hold stands for', { ...CALL, requestId: 'r-9' }],
  ] as const)('finds a client that was told %s', (_what, call) => {
    expect(broken({ evidence: { calls: [call] } })).toContain(TOLD);
  });

  it.each([
    ['below zero', { available: '-1', held: '4901' }],
    ['with holds above all there is', { held: '5000', available: '0' }],
    ['whose lots do not agree', { lots: [] }],
  ])('finds a balance that was read %s', (_what, change) => {
    const text = JSON.stringify({ ...(JSON.parse(BALANCE.text) as object), ...change });
    expect(broken({ evidence: { calls: [CALL, { ...BALANCE, text }] } })).toEqual([READS]);
  });

  it('finds an answer that was made twice, unless something was broken meanwhile', () => {
    const provider = [ANSWER, { ...ANSWER, atMs: 10, endedAtMs: 11 }];
    expect(broken({ evidence: { provider } })).toEqual([ANSWERED_ONCE]);
    const fault = { target: 'finn-1', detail: '', startedAtMs: 2, healedAtMs: 5 };
    expect(broken({ evidence: { provider, faults: [{ kind: 'kill', ...fault }] } })).toEqual([]);
  });
});
