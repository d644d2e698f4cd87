import { describe, expect, it } from 'vitest';
import { LEDGER_RETRY_DEFAULTS } from '../../inference/ledger-retries.ts';
import { RETRY_RULES } from './retries.domain.ts';
import { LedgerRules } from '../ledger-model-rules.domain.ts';
import { simulate, type SimulationOptions } from './simulate.domain.ts';
import { wildHistory } from './wild-history.domain.ts';

const HISTORIES = 10_000;
/** Sabotage has to show within so many histories. */
const PATIENCE = 20_000;
const FIRST_SEED = 1;

/** The number of the first history that goes wrong, and what its steps were. */
function findViolation(count: number, options: SimulationOptions = {}): number | undefined {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + count; seed += 1) {
    if (simulate(seed, options).violations.length > 0) return seed;
  }
  return undefined;
}

function tell(seed: number): string {
  const lines: string[] = [];
  simulate(seed, { trace: (line) => lines.push(line) });
  return `history ${seed}:\n${lines.join('\n')}`;
}

describe('a simulated history', () => {
  it(`keeps every promise, whatever dies, over ${HISTORIES} of them`, () => {
    const seed = findViolation(HISTORIES);
    expect(seed, seed === undefined ? '' : tell(seed)).toBeUndefined();
  }, 60_000);

  it('is the same each time it is told by its number', () => {
    for (const seed of [7, 1_000_003, 2 ** 40 + 5]) expect(tell(seed)).toBe(tell(seed));
    expect(tell(8)).not.toBe(tell(7));
  });

  it('meets everything that can happen', () => {
    const tally = new Map<string, number>();
    const outcomes = new Map<string, number>();
    const count = (of: Map<string, number>, kind: string) => of.set(kind, (of.get(kind) ?? 0) + 1);
    for (let seed = 1; seed <= 4_000; seed += 1) {
      simulate(seed, {
        tally,
        onOperation(operation) {
          if (operation.kind !== 'batch') return;
          for (const { outcome } of operation.result.settlements) count(outcomes, outcome);
          for (const { outcome } of operation.result.holds) count(outcomes, outcome);
        },
      });
    }
    expect([...outcomes.keys()].sort()).toEqual(
      [
        ['accepted', 'insufficient_credits', 'invalid_api_key', 'rate_limited'],
        ['token_limit_reached', 'finalized', 'released', 'orphan_released', 'streaming'],
        ['corrected', 'late_captured', 'unchanged', 'unknown'],
      ]
        .flat()
        .sort(),
    );
    expect([...tally.keys()]).toEqual(expect.arrayContaining([...EVENTS]));
  }, 60_000);

  it('tries a settlement again as the product does', () => {
    expect(LEDGER_RETRY_DEFAULTS).toMatchObject(RETRY_RULES);
  });
});

const EVENTS = [
  'death',
  'freeze',
  'doubled commit',
  'no answer of the ledger',
  'ledger is down',
  'a process is cut off the ledger',
  'broker is down',
  'broker loses its store',
  'replay guard is down',
  'replay guard forgets',
  'replayed request arrives',
  'client leaves',
  'finn sees its caller gone',
  'reset',
  'end of stream',
  'next attempt',
  '409',
  'retry of settlements',
  'publish timed out',
  'key revoked',
];

/** Each breaks one rule. */
const LEDGER_SABOTAGE: readonly (readonly [string, LedgerRules])[] = [
  [
    'a settlement is not idempotent',
    new (class extends LedgerRules {
      override isOpen({ status }: Parameters<LedgerRules['isOpen']>[0]): boolean {
        return status !== 'orphan_released';
      }
    })(),
  ],
  [
    'a late count is captured although it was captured before',
    new (class extends LedgerRules {
      override mayCaptureLate({ status }: Parameters<LedgerRules['mayCaptureLate']>[0]): boolean {
        return status === 'orphan_released';
      }
    })(),
  ],
  [
    'the orphan job ignores that a hold was settled meanwhile',
    new (class extends LedgerRules {
      override isOrphan(): boolean {
        return true;
      }
    })(),
  ],
  [
    'the reconciliation ignores that a stream was settled meanwhile',
    new (class extends LedgerRules {
      override isQuiet(): boolean {
        return true;
      }
    })(),
  ],
  [
    'a hold is made without a look at the balance',
    new (class extends LedgerRules {
      override covers(): boolean {
        return true;
      }
    })(),
  ],
  [
    'the requests of a minute are not checked',
    new (class extends LedgerRules {
      override mayRequest(): boolean {
        return true;
      }
    })(),
  ],
  [
    'the tokens of a day are not checked',
    new (class extends LedgerRules {
      override mayUseTokens(): boolean {
        return true;
      }
    })(),
  ],
  [
    'a revoked key may hold',
    new (class extends LedgerRules {
      override mayUseKey(): boolean {
        return true;
      }
    })(),
  ],
  [
    'a better count corrects nothing',
    new (class extends LedgerRules {
      override mayCorrect(): boolean {
        return false;
      }
    })(),
  ],
  [
    'a worse count corrects a better one',
    new (class extends LedgerRules {
      override mayCorrect({ status }: Parameters<LedgerRules['mayCorrect']>[0]): boolean {
        return status === 'finalized';
      }
    })(),
  ],
  [
    'what was not delivered stays charged',
    new (class extends LedgerRules {
      override mayTakeBack(): boolean {
        return false;
      }
    })(),
  ],
];

describe('the simulator notices that', () => {
  it.each(LEDGER_SABOTAGE)(
    '%s',
    (_what, rules) => {
      expect(findViolation(PATIENCE, { rules })).toBeDefined();
    },
    60_000,
  );

  it('the worker acknowledges before the settlement has committed', () => {
    expect(findViolation(PATIENCE, { acknowledgesFirst: true })).toBeDefined();
  }, 60_000);

  it('finn runs whatever it is asked', () => {
    expect(findViolation(PATIENCE, { isReplayGuardOff: true })).toBeDefined();
  }, 60_000);
});

describe('operations in an order that nobody would send', () => {
  it('leave the books balanced', () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES / 2; seed += 1) {
      expect(wildHistory(seed), `wild history ${seed}`).toEqual([]);
    }
  }, 60_000);
});
