import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LedgerModel } from './ledger-model.domain.ts';
import type { LedgerOperation } from './simulation/ledger.domain.ts';
import { Random } from './simulation/random.domain.ts';
import { drawKeys, SIMULATED_COMMUNITIES, SIMULATED_PRICES } from './simulation/setting.domain.ts';
import { simulate } from './simulation/simulate.domain.ts';
import { createSqlLedger, linesOf, type SqlLedger } from './simulation/test-support/sql-books.ts';
import { wildHistory } from './simulation/wild-history.domain.ts';

/** The same histories through the pure model and through PostgreSQL, change by change. */

const SIMULATED = 120;
const WILD = 100;

let sql: SqlLedger;
beforeAll(async () => {
  sql = await createSqlLedger();
});
afterAll(() => sql.close());

async function expectSameBooks(
  seed: number,
  operations: readonly LedgerOperation[],
): Promise<void> {
  const keys = drawKeys(new Random(seed));
  const books = await sql.open(keys);
  const model = new LedgerModel(SIMULATED_PRICES);
  for (const id of SIMULATED_COMMUNITIES) model.openCommunity(id);
  for (const key of keys) model.openKey(key);
  for (const [index, operation] of operations.entries()) {
    await books.apply(operation);
    applyTo(model, operation);
    const nextMs = operations[index + 1]?.atMs ?? operation.atMs;
    const [actual, expected] = [await books.lines(nextMs), linesOf(model)];
    // Only a difference is worth the time that a readable comparison takes.
    if (actual.join() !== expected.join()) expect(actual).toEqual(expected);
  }
  expect(await books.drift()).toEqual([]);
}

function applyTo(model: LedgerModel, operation: LedgerOperation): void {
  switch (operation.kind) {
    case 'batch':
      model.applyBatch(operation.settlements, operation.holds, operation.atMs);
      return;
    case 'mint':
      model.mint(operation.communityId, operation.lot);
      return;
    case 'revoke':
      model.revokeKey(operation.keyId);
      return;
    case 'expire':
      model.expireLots(operation.atMs);
  }
}

async function compare(
  seed: number,
  run: (onOperation: (operation: LedgerOperation) => void) => unknown,
): Promise<void> {
  const operations: LedgerOperation[] = [];
  run((operation) => operations.push(operation));
  try {
    await expectSameBooks(seed, operations);
  } catch (error) {
    throw new Error(`history ${seed} differs`, { cause: error });
  }
}

describe('the ledger functions decide and book as the model does', () => {
  it('over histories of processes that die, and messages that get lost, doubled and late', async () => {
    for (let seed = 1; seed <= SIMULATED; seed += 1) {
      await compare(seed, (onOperation) => simulate(seed, { onOperation }));
    }
  }, 120_000);

  it('over operations in an order that nobody would send', async () => {
    for (let seed = 1; seed <= WILD; seed += 1) {
      await compare(seed, (onOperation) => wildHistory(seed, onOperation));
    }
  }, 120_000);
});
