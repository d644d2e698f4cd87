import { createLogger, createRegistry } from '@arrakis/service-kit';
import { waitFor } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { createLedgerEvents } from '../../../services/freeside/src/features/ledger/events.ts';
import { ledgerJobs } from '../../../services/freeside/src/features/ledger/ledger.job.ts';
import { LedgerService } from '../../../services/freeside/src/features/ledger/service.ts';
import { createReservationEvents } from '../../../services/freeside/src/features/reservations/events.ts';
import {
  openReservationsJob,
  orphanJob,
  reconciliationJob,
} from '../../../services/freeside/src/features/reservations/reservation.job.ts';
import { ReservationService } from '../../../services/freeside/src/features/reservations/service.ts';
import { paymentJobs } from '../../../services/freeside/src/features/payments/payments.job.ts';
import { ageOpenPayments, reconciliationOf } from '../payments/reconciliation.ts';
import type { Evidence, Verdict, World } from '../types.ts';
import { inSnapshot } from './books.ts';
import { Findings } from './findings.ts';

export const JOBS_TWICE = 'a second run of every job changes nothing';
export const REPLAY = 'a replay of every usage event changes nothing';
export const TOLD_AGAIN = 'every notice of the vendor told again changes nothing';

const CONSUMED_WITHIN_MS = 30_000;
const PUBLISHED_AT_A_TIME = 64;

/**
 * Does everything again that may come twice. Every job runs once to be up to date, then again;
 * every usage event is published with an id of its own, so that the stream takes it for a new one;
 * every notice is posted once more.
 *
 * What a wiped store of NATS had held was never told to the books: there the first replay is news, and
 * the second is what changes nothing.
 */
export async function auditRepetition(
  world: World,
  { faults }: Evidence,
): Promise<readonly Verdict[]> {
  if (faults.some(({ kind }) => kind === 'nats-wipe')) await replay(world);
  await ageOpenPayments(world.auditDb);
  await runJobs(world);
  const before = await readTables(world.auditDb);
  const jobs = await runJobs(world);
  const afterJobs = await readTables(world.auditDb);
  const { published, left } = await replay(world);
  const afterReplay = await readTables(world.auditDb);
  const { notices, refused } = await tellAgain(world);
  const afterNotices = await readTables(world.auditDb);
  const toldAgain = compare(TOLD_AGAIN, afterReplay, afterNotices, `${notices} notices`);
  const replayed = compare(REPLAY, afterJobs, afterReplay, `${published} events`);
  return [
    compare(JOBS_TWICE, before, afterJobs, `${jobs} jobs`),
    left === 0
      ? replayed
      : { ...replayed, ok: false, detail: `${left} events are not consumed; ${replayed.detail}` },
    refused === 0
      ? toldAgain
      : { ...toldAgain, ok: false, detail: `${refused} were refused; ${toldAgain.detail}` },
  ];
}

/** The job functions of the worker, on services of their own. Returns how many there are. */
async function runJobs(world: World): Promise<number> {
  const { auditDb: db } = world;
  const registry = createRegistry('crash-test');
  const logger = createLogger({ service: 'crash-test', level: 'silent' });
  const reservations = new ReservationService({
    db,
    events: createReservationEvents(registry, logger),
  });
  const ledger = new LedgerService(db, createLedgerEvents(registry, logger));
  const jobs = [
    orphanJob(reservations),
    reconciliationJob(reservations),
    openReservationsJob(reservations),
    ...ledgerJobs(ledger),
    ...paymentJobs(reconciliationOf(world)),
  ];
  for (const job of jobs) await job.run();
  await reservations.drain();
  return jobs.length;
}

interface Replayed {
  readonly published: number;
  /** Events that the worker could not bring home, as if they told something new. */
  readonly left: number;
}

async function replay({ usage }: World): Promise<Replayed> {
  const events = usage
    .captured()
    .filter(({ replayed }) => !replayed)
    .map(({ raw }) => raw);
  for (let first = 0; first < events.length; first += PUBLISHED_AT_A_TIME) {
    const batch = events.slice(first, first + PUBLISHED_AT_A_TIME);
    await Promise.all(batch.map((raw) => usage.publish(raw)));
  }
  let left = events.length;
  const isConsumed = async (): Promise<boolean> => {
    left = await usage.pending();
    return left === 0;
  };
  await waitFor(isConsumed, { timeoutMs: CONSUMED_WITHIN_MS, intervalMs: 50 }).catch(() => false);
  return { published: events.length, left };
}

/** Those of which the apis have heard enough for an hour stay out, as they do in production. */
async function tellAgain({ shop }: World): Promise<{ notices: number; refused: number }> {
  const told = shop.told();
  let refused = 0;
  for (let first = 0; first < told.length; first += PUBLISHED_AT_A_TIME) {
    const batch = told.slice(first, first + PUBLISHED_AT_A_TIME);
    const statuses = await Promise.all(
      batch.map(({ body, signature }, index) => shop.post(body, signature, index)),
    );
    refused += statuses.filter((status) => status !== 200 && status !== 429).length;
  }
  return { notices: told.length, refused };
}

/** Each row as text, by its table and key. */
type Tables = ReadonlyMap<string, string>;

function readTables(db: Pool): Promise<Tables> {
  return inSnapshot(db, async (tx) => {
    const { rows } = await tx.query<{ key: string; row: string }>(
      `SELECT 'accounts ' || id AS key, t::text AS row FROM freeside.accounts t
       UNION ALL SELECT 'ledger_entries ' || id, t::text FROM freeside.ledger_entries t
       UNION ALL SELECT 'budget_reservations ' || id, t::text FROM freeside.budget_reservations t
       UNION ALL SELECT 'spend_events ' || id, t::text FROM freeside.spend_events t
       UNION ALL SELECT 'spend_corrections ' || id, t::text FROM freeside.spend_corrections t
       UNION ALL SELECT 'credit_lots ' || id, t::text FROM freeside.credit_lots t
       UNION ALL SELECT 'credit_lot_allocations ' || reservation_id || ' ' || lot_id, t::text
         FROM freeside.credit_lot_allocations t
       UNION ALL SELECT 'credit_lot_adjustments ' || id, t::text
         FROM freeside.credit_lot_adjustments t
       UNION ALL SELECT 'crypto_payments ' || id, t::text FROM freeside.crypto_payments t
       UNION ALL SELECT 'payment_events ' || id, t::text FROM freeside.payment_events t
       UNION ALL SELECT 'payment_reviews ' || id, t::text FROM freeside.payment_reviews t
       UNION ALL SELECT 'community_debts ' || id, t::text FROM freeside.community_debts t
       UNION ALL SELECT 'api_key_usage ' || key_id, t::text FROM freeside.api_key_usage t`,
    );
    return new Map(rows.map(({ key, row }) => [key, row]));
  });
}

function compare(invariant: string, before: Tables, after: Tables, figures: string): Verdict {
  const findings = new Findings(invariant);
  for (const [key, row] of after) {
    const was = before.get(key);
    if (was === undefined) findings.violated(`new: ${key} ${row}`);
    else if (was !== row) findings.violated(`changed: ${key} from ${was} to ${row}`);
  }
  for (const key of before.keys()) if (!after.has(key)) findings.violated(`gone: ${key}`);
  return findings.verdict(`${figures}, ${after.size} rows as before`);
}
