import { randomUUID } from 'node:crypto';
import { runVerifier } from '@arrakis/audit';
import { createPool } from '@arrakis/postgres';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import type { Pool } from 'pg';
import {
  NFT_ID,
  createLedgerFixture,
  type Account,
  type LedgerFixture,
} from '../../reservations/test-support/ledger-fixture.ts';
import { createAuditEvents } from '../events.ts';
import { exportTrail } from '../export.ts';
import { AuditService, type AuditServiceOptions } from '../service.ts';

/** The ledger's fixture with a pool that opens transactions, and sealers beside it. */
export interface AuditFixture extends LedgerFixture {
  readonly pool: Pool;
  readonly newAudit: (options?: Partial<AuditServiceOptions>) => AuditService;
  readonly exportText: (after?: bigint) => Promise<string>;
  /** The verifier's words about everything sealed so far, with its exit code. */
  readonly verify: (
    args?: readonly string[],
    text?: string,
  ) => Promise<{ code: number; said: string }>;
}

export async function createAuditFixture(): Promise<AuditFixture> {
  const ledger = await createLedgerFixture();
  const pool = createPool({
    url: ledger.database.appUrl,
    max: 12,
    applicationName: 'test-audit',
    onError: () => undefined,
  });
  const logger = createLogger({ service: 'test', level: 'silent' });
  const exportText = async (after = 0n): Promise<string> => {
    const parts: string[] = [];
    for await (const lines of exportTrail(pool, { after, exportedAt: new Date() })) {
      parts.push(...lines);
    }
    return `${parts.join('\n')}\n`;
  };
  return {
    ...ledger,
    pool,
    exportText,
    newAudit: (options = {}) =>
      new AuditService({
        db: pool,
        events: createAuditEvents(createRegistry('test'), logger),
        ...options,
      }),
    async verify(args = [], text) {
      const said: string[] = [];
      const code = await runVerifier([...args, '-'], {
        stdin: chunks(text ?? (await exportText())),
        print: (line) => said.push(line),
        complain: (line) => said.push(line),
      });
      return { code, said: said.join('\n') };
    },
    async close() {
      await pool.end();
      await ledger.close();
    },
  };
}

async function* chunks(text: string): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield Buffer.from(text);
}

export function holdRequest(account: Account) {
  return {
    reservationId: randomUUID(),
    ...account,
    nftId: NFT_ID,
    pool: 'cheap',
    promptTokens: 100,
    maxTokens: 100,
  } as const;
}

export function settlementOf(reservationId: string) {
  return {
    reservationId,
    carrier: 'done_event',
    promptTokens: 100,
    completionTokens: 50,
    poolUsed: 'cheap',
    model: 'm',
    personalityId: 'p',
    latencyMs: 5,
  } as const;
}
