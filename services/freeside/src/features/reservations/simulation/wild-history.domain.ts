import { CARRIERS, type HoldRequest } from '../reservation.domain.ts';
import type { LedgerRules } from '../ledger-model-rules.domain.ts';
import { LedgerModel } from '../ledger-model.domain.ts';
import type { SettlementAction, SettlementInput } from '../settlement.domain.ts';
import { faultsOfBooks, LimitWatch } from './invariants.domain.ts';
import type { LedgerOperation } from './ledger.domain.ts';
import { Random } from './random.domain.ts';
import { drawKeys, SIMULATED_COMMUNITIES, SIMULATED_PRICES } from './setting.domain.ts';

const ACTIONS: readonly SettlementAction[] = [
  'settle',
  'settle',
  'settle',
  'release',
  'orphan',
  'reconcile',
  'progress',
  'progress',
];
const SECOND_MS = 1_000;
const HOUR_MS = 3_600 * SECOND_MS;
/** Both sides of every deadline. */
const WAITS_MS = [0, 0, 1, SECOND_MS, 60_000, 120_000, 120_001, 300_000, 300_001, HOUR_MS] as const;
const LONG_WAITS_MS = [24 * HOUR_MS, 72 * HOUR_MS] as const;
const START_MS = 1_900_000_000_000;

/**
 * Operations that no actor would ever send in this order, in batches of any mix: the ledger may rely
 * on nobody. Returns what was found wrong.
 */
export function wildHistory(
  seed: number,
  onOperation: (operation: LedgerOperation) => void = () => undefined,
  rules?: LedgerRules,
): string[] {
  return new WildHistory(seed, onOperation, rules).run();
}

class WildHistory {
  readonly #random: Random;
  readonly #model: LedgerModel;
  readonly #onOperation: (operation: LedgerOperation) => void;
  readonly #watch = new LimitWatch();
  #atMs: number;
  #held = 0;
  #lots = 0;

  constructor(
    seed: number,
    onOperation: (operation: LedgerOperation) => void,
    rules: LedgerRules | undefined,
  ) {
    this.#random = new Random(seed);
    this.#model = new LedgerModel(SIMULATED_PRICES, rules);
    for (const id of SIMULATED_COMMUNITIES) this.#model.openCommunity(id);
    for (const key of drawKeys(this.#random)) this.#model.openKey(key);
    this.#onOperation = onOperation;
    this.#atMs = START_MS + this.#random.between(0, 24 * HOUR_MS);
  }

  run(): string[] {
    const random = this.#random;
    const faults: string[] = [];
    for (let n = random.between(10, 40); n > 0 && faults.length === 0; n -= 1) {
      this.#atMs += random.chance(0.02) ? random.pick(LONG_WAITS_MS) : random.pick(WAITS_MS);
      faults.push(...this.#next());
      for (const community of this.#model.communities.values()) {
        faults.push(...faultsOfBooks(community));
      }
    }
    return faults;
  }

  #next(): string[] {
    const random = this.#random;
    const atMs = this.#atMs;
    const dice = random.between(1, 100);
    if (this.#lots < 2 || dice <= 8) {
      this.#mint();
      return [];
    }
    if (dice <= 13) {
      this.#model.expireLots(atMs);
      this.#onOperation({ kind: 'expire', atMs });
      return [];
    }
    if (dice === 14) {
      const keyId = random.pick([...this.#model.keys.keys()]);
      this.#model.revokeKey(keyId);
      this.#onOperation({ kind: 'revoke', atMs, keyId });
      return [];
    }
    return this.#batch();
  }

  #mint(): void {
    const random = this.#random;
    const communityId = random.pick(SIMULATED_COMMUNITIES);
    this.#lots += 1;
    const lot = {
      id: `lot${this.#lots}`,
      amountMicro: BigInt(random.between(1, 2_000)),
      expiresAtMs: random.chance(0.5) ? undefined : this.#atMs + random.pick(WAITS_MS) + 1,
    };
    this.#model.mint(communityId, lot);
    this.#onOperation({ kind: 'mint', atMs: this.#atMs, communityId, lot });
  }

  #batch(): string[] {
    const random = this.#random;
    const settlements = Array.from({ length: random.pick([0, 1, 1, 2, 4]) }, () =>
      this.#settlement(),
    );
    const holds = Array.from({ length: random.pick([0, 1, 1, 2]) }, () => this.#hold());
    const result = this.#model.applyBatch(settlements, holds, this.#atMs);
    this.#onOperation({ kind: 'batch', atMs: this.#atMs, settlements, holds, result });
    return holds.flatMap((request, index) => {
      if (result.holds[index]?.outcome !== 'accepted') return [];
      // A later hold of the batch counts for the earlier ones too: they are judged one by one.
      return holds.length > 1 ? [] : this.#watch.faultsOfAccepted(this.#model, request, this.#atMs);
    });
  }

  #settlement(): SettlementInput {
    const random = this.#random;
    const known = [...this.#model.reservations.keys()].slice(-5);
    const isKnown = known.length > 0 && !random.chance(0.05);
    const reservationId = isKnown ? random.pick(known) : 'nobody';
    const action = random.pick(ACTIONS);
    if (action !== 'settle' && action !== 'progress') return { reservationId, action };
    const counts = {
      promptTokens: random.between(0, 400),
      completionTokens: random.pick([0, 1, 1]) * random.between(1, 400),
      poolUsed: random.pick(['cheap', 'standard', undefined] as const),
    };
    // `reconciliation` is the ledger's own.
    const carrier = random.pick(CARRIERS.filter((each) => each !== 'reconciliation'));
    return { reservationId, action, ...(action === 'settle' ? { carrier } : {}), ...counts };
  }

  #hold(): HoldRequest {
    const random = this.#random;
    const key = random.pick([...this.#model.keys.values()]);
    this.#held += 1;
    return {
      reservationId: `r${this.#held}`,
      // Now and then a key of another community.
      communityId: random.chance(0.03) ? random.pick(SIMULATED_COMMUNITIES) : key.communityId,
      apiKeyId: key.id,
      nftId: 'nft',
      pool: random.pick(['cheap', 'standard']),
      promptTokens: random.between(0, 600),
      maxTokens: random.between(1, 300),
    };
  }
}
