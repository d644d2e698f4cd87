import { priceTokens, type TokenCount } from '@arrakis/money';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ModelReservation } from './ledger-model-books.domain.ts';
import { LedgerModel } from './ledger-model.domain.ts';
import type { Carrier, HoldRequest } from './reservation.domain.ts';
import type { HoldVerdict, SettlementAction, SettlementOutcome } from './settlement.domain.ts';
import { SIMULATED_PRICES } from './simulation/setting.domain.ts';

const PRICE = SIMULATED_PRICES.cheap!;
const SECOND_MS = 1_000;
const HOUR_MS = 3_600 * SECOND_MS;
const MIDNIGHT_MS = 20_000 * 24 * HOUR_MS;
const COUNT = { promptTokens: 500, completionTokens: 700 };
const DELIVERED_MICRO = priceTokens(PRICE, COUNT);

let model: LedgerModel;
let atMs: number;
beforeEach(() => {
  atMs = MIDNIGHT_MS + 8 * HOUR_MS;
  model = new LedgerModel(SIMULATED_PRICES);
  model.openCommunity('c');
  model.openKey({ id: 'k', communityId: 'c', requestsPerMinute: 3, tokensPerDay: 5_000 });
});

function mint(amountMicro: bigint, expiresAtMs?: number): void {
  const id = `lot${community().lots.length}`;
  model.mint('c', { id, amountMicro, expiresAtMs });
}

function hold(reservationId: string, change: Partial<HoldRequest> = {}): HoldVerdict['outcome'] {
  const request: HoldRequest = {
    reservationId,
    communityId: 'c',
    apiKeyId: 'k',
    nftId: 'nft',
    pool: 'cheap',
    promptTokens: 1000,
    maxTokens: 1000,
    ...change,
  };
  return model.applyBatch([], [request], atMs).holds[0]!.outcome;
}

function apply(
  reservationId: string,
  action: SettlementAction,
  count: TokenCount = COUNT,
  carrier: Carrier = 'usage_event',
): SettlementOutcome {
  const input = { reservationId, action, carrier, ...count };
  return model.applyBatch([input], [], atMs).settlements[0]!.outcome;
}

function reservation(id = 'r'): ModelReservation {
  return model.reservations.get(id)!;
}

function community() {
  return model.communities.get('c')!;
}

describe('the books', () => {
  beforeEach(() => {
    mint(5000n);
    hold('r');
  });

  it('charge exactly what was delivered and give the rest of the hold back', () => {
    expect(apply('r', 'settle')).toBe('finalized');
    expect(community()).toMatchObject({ spentMicro: DELIVERED_MICRO, heldMicro: 0n });
  });

  it('do not change when a settlement comes twice', () => {
    apply('r', 'settle');
    expect(apply('r', 'settle')).toBe('unchanged');
    expect(community().spentMicro).toBe(DELIVERED_MICRO);
  });

  it('never charge more than the hold', () => {
    const { heldMicro } = community();
    apply('r', 'settle', { promptTokens: 9_000_000, completionTokens: 9_000_000 });
    expect(community().spentMicro).toBe(heldMicro);
  });

  it('charge nothing when nothing was delivered', () => {
    expect(apply('r', 'settle', { promptTokens: 500, completionTokens: 0 })).toBe('released');
    expect(community().spentMicro).toBe(0n);
  });

  it('settle a quiet stream to what was relayed and correct it when the count arrives', () => {
    const relayed = { promptTokens: 500, completionTokens: 100 };
    apply('r', 'progress', relayed);
    atMs += 121 * SECOND_MS;
    expect(apply('r', 'reconcile')).toBe('finalized');
    expect(community().spentMicro).toBe(priceTokens(PRICE, relayed));
    expect(apply('r', 'settle')).toBe('corrected');
    expect(community().spentMicro).toBe(DELIVERED_MICRO);
  });

  it('leave a stream alone that still made progress two minutes ago', () => {
    apply('r', 'progress');
    atMs += 120 * SECOND_MS;
    expect(apply('r', 'reconcile')).toBe('unchanged');
  });

  it('let a final count correct a journal that could prove nothing', () => {
    expect(apply('r', 'settle', { promptTokens: 0, completionTokens: 0 }, 'journal')).toBe(
      'finalized',
    );
    expect(community()).toMatchObject({ spentMicro: 0n, heldMicro: 0n });
    expect(apply('r', 'settle', COUNT, 'done_event')).toBe('corrected');
    expect(community().spentMicro).toBe(DELIVERED_MICRO);
  });

  it('take back what finn reported and no client got, also after a late capture', () => {
    atMs += 301 * SECOND_MS;
    apply('r', 'orphan');
    expect(apply('r', 'settle')).toBe('late_captured');
    expect(apply('r', 'release')).toBe('corrected');
    expect(community()).toMatchObject({ spentMicro: 0n, availableMicro: 5000n });
  });

  it('charge nothing late for what is known to have reached nobody', () => {
    atMs += 301 * SECOND_MS;
    apply('r', 'orphan');
    apply('r', 'release');
    expect(apply('r', 'settle')).toBe('unchanged');
    expect(community().spentMicro).toBe(0n);
  });

  it('let a final count correct a journal that was captured late', () => {
    atMs += 301 * SECOND_MS;
    apply('r', 'orphan');
    apply('r', 'settle', { promptTokens: 500, completionTokens: 1 }, 'journal');
    expect(apply('r', 'settle')).toBe('corrected');
    expect(community().spentMicro).toBe(DELIVERED_MICRO);
    expect(reservation().status).toBe('orphan_released');
  });

  it('take no correction after 72 hours', () => {
    apply('r', 'settle', { promptTokens: 500, completionTokens: 1 }, 'journal');
    atMs += 72 * HOUR_MS;
    expect(apply('r', 'settle')).toBe('unchanged');
  });
});

describe('lots', () => {
  it('that expire first are used up first', () => {
    mint(1000n);
    mint(300n, atMs + HOUR_MS);
    hold('r');
    apply('r', 'settle');
    const [soon, never] = community().lots;
    expect(reservation().paidBy).toEqual(
      new Map([
        [soon, 300n],
        [never, DELIVERED_MICRO - 300n],
      ]),
    );
  });

  it('that expired under a hold leave a late count to be written off', () => {
    mint(750n, atMs + 50 * SECOND_MS);
    hold('r');
    atMs += 400 * SECOND_MS;
    apply('r', 'orphan');
    model.expireLots(atMs);
    expect(apply('r', 'settle')).toBe('late_captured');
    expect(community()).toMatchObject({ spentMicro: 0n, writtenOffMicro: DELIVERED_MICRO });
    expect(reservation().status).toBe('orphan_released');
  });
});

describe('a key', () => {
  const small = { promptTokens: 10, maxTokens: 10 };
  beforeEach(() => mint(100_000n));

  it('may send its requests within a minute of the first, and again after it', () => {
    const decisions = ['a', 'b', 'c', 'd'].map((id) => hold(id, small));
    expect(decisions).toEqual(['accepted', 'accepted', 'accepted', 'rate_limited']);
    atMs += 60 * SECOND_MS;
    expect(hold('e', small)).toBe('accepted');
  });

  it('holds the worst case of its day’s tokens and gets back what was not used', () => {
    hold('a');
    hold('b');
    expect(hold('c')).toBe('token_limit_reached');
    apply('a', 'settle', { promptTokens: 100, completionTokens: 100 });
    expect(model.keys.get('k')?.dayTokens).toBe(2_200);
    expect(hold('c')).toBe('accepted');
  });

  it('counts the tokens of the count that stands', () => {
    hold('a');
    apply('a', 'settle', { promptTokens: 100, completionTokens: 1 }, 'journal');
    apply('a', 'settle', { promptTokens: 100, completionTokens: 300 });
    expect(model.keys.get('k')?.dayTokens).toBe(400);
    apply('a', 'release');
    expect(model.keys.get('k')?.dayTokens).toBe(0);
  });

  it('begins a new day at midnight, and gets nothing back there from the day before', () => {
    atMs = MIDNIGHT_MS - 1;
    hold('a');
    atMs = MIDNIGHT_MS;
    hold('b');
    apply('a', 'release');
    expect(model.keys.get('k')?.dayTokens).toBe(2_000);
  });

  it('holds nothing once it is revoked', () => {
    model.revokeKey('k');
    expect(hold('a')).toBe('invalid_api_key');
  });
});
