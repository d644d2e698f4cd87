import { join } from 'node:path';
import { createPool } from '@arrakis/postgres';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { createTestDatabase } from '@arrakis/testkit';
import { createAuditEvents } from '../../services/freeside/src/features/audit/events.ts';
import { AuditService } from '../../services/freeside/src/features/audit/service.ts';
import { openAccount } from './ledger/open-account.ts';
import type { LedgerLoad, LedgerResult } from './ledger/protocol.ts';
import { LoadProcess } from './lib/load-process.ts';
import { withBackends } from './lib/with-backends.ts';

/**
 * What sealing the audit trail costs those who hold and settle: the same load by turns without a
 * sealer and with one that runs as the worker's does, against a durable PostgreSQL of its own.
 * `node loadtest/bench/audit.ts [pairs per second, 0 for 64 callers] [rounds]`.
 */

const SEAL_EVERY_MS = 2_000;
const [perSecond = 0, rounds = 2] = process.argv.slice(2).map(Number);
const shape =
  perSecond > 0
    ? ({ kind: 'open', perSecond } as const)
    : ({ kind: 'closed', callers: 64 } as const);

await withBackends(async (backends) => {
  const database = await createTestDatabase(backends);
  const url = database.appUrl;
  const db = createPool({ url, max: 3, applicationName: 'sealer', onError: () => undefined });
  const loader = new LoadProcess<LedgerLoad, LedgerResult>(
    join(import.meta.dirname, 'ledger-load.ts'),
  );
  try {
    const account = await openAccount(database.migratorUrl);
    for (let round = 0; round < rounds * 2; round += 1) {
      const isSealing = round % 2 === 1;
      // Both begin with nothing to seal.
      const sealer = startSealer(db);
      while ((await sealer.seal()) > 0);
      const timer = isSealing ? setInterval(() => void sealer.seal(), SEAL_EVERY_MS) : undefined;
      const load = { ...shape, databaseUrl: url, account, warmUpMs: 1_000, durationMs: 4_000 };
      const result = await loader.run(load, { postgres: backends.postgres.pid }, 0);
      clearInterval(timer);
      await sealer.seal();
      console.log(describe(isSealing, result));
    }
  } finally {
    loader.stop();
    await db.end();
    await database.drop();
  }
});

function startSealer(db: ReturnType<typeof createPool>) {
  const audit = new AuditService({
    db,
    events: createAuditEvents(
      createRegistry('bench'),
      createLogger({ service: 'bench', level: 'silent' }),
    ),
  });
  let running: Promise<number> | undefined;
  return {
    seal: () =>
      (running ??= audit.seal().finally(() => {
        running = undefined;
      })),
  };
}

function describe(
  isSealing: boolean,
  result: LedgerResult & { readonly cpuMs: Readonly<Record<string, number>> },
): string {
  const { pairs, elapsedMs, hold } = result;
  const postgresMicros = ((result.cpuMs.postgres ?? 0) * 1000) / pairs;
  return `${isSealing ? 'sealing' : 'without'}  ${Math.round((pairs * 1000) / elapsedMs)} pairs/s  hold p50 ${hold.p50Ms.toFixed(2)} ms p99 ${hold.p99Ms.toFixed(2)} ms  PostgreSQL ${postgresMicros.toFixed(0)} us of CPU a pair`;
}
