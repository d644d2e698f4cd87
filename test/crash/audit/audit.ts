import type { Evidence, Verdict, World } from '../types.ts';
import { casesOf } from './answers.ts';
import { byReservation, readBooks } from './books.ts';
import { auditAnsweredOnce, auditParked, auditReports } from './carriers.ts';
import { auditCharges } from './charges.ts';
import { auditEquations } from './equations.ts';
import { readPaymentBooks } from './payment-books.ts';
import { auditPayments } from './payments.ts';
import { auditRefunds } from './refunds.ts';
import { auditReads, auditReceipts, auditTold } from './told.ts';
import { auditTrail } from './trail.ts';

/**
 * Compares the books with themselves, and with what clients, provider, NATS and the payment vendor saw. For a system
 * that has come to rest: nothing under way, every usage event consumed.
 *
 * @throws when PostgreSQL, NATS or both apis can't be reached
 */
export async function audit(world: World, evidence: Evidence): Promise<readonly Verdict[]> {
  const books = await readBooks(world.auditDb);
  const payments = await readPaymentBooks(world.auditDb);
  const settled = byReservation(books);
  const cases = casesOf(settled, evidence);
  return [
    ...auditEquations(books, settled, world.communities),
    ...auditCharges(cases),
    auditTold(settled, evidence),
    auditReads(evidence),
    await auditReceipts(world, books, settled),
    auditReports(world, settled, evidence),
    await auditParked(world),
    auditAnsweredOnce(evidence),
    ...auditPayments(payments, evidence.payments),
    ...auditRefunds(payments),
    await auditTrail(world),
  ];
}
