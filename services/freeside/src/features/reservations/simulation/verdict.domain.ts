import type { Micro, TokenCount } from '@arrakis/money';
import type { ModelReservation } from '../ledger-model-books.domain.ts';
import type { LedgerModel } from '../ledger-model.domain.ts';
import type { SettlementInput } from '../settlement.domain.ts';
import type { Applied, Fact, Run } from './facts.domain.ts';
import { isTerminal } from './invariants.domain.ts';

/**
 * What must be true of a request when all that was on its way has arrived. Delivered is what finn
 * handed to the api's socket, unless the api lived to tell that nothing of it reached the client.
 *
 * 1. Every hold has ended, once.
 * 2. No report is missing without a cause: a verdict of the api is lost only with the api, or after
 *    minutes of retries; a journaled run's report only with finn's disk or with NATS's store.
 * 3. The charge follows from the reports that arrived, in whatever order they did: nothing if the
 *    api told that nothing was delivered; else the first final count; else the largest that a journal
 *    or the relay can show; else nothing. Never more than the hold. What the balance did not cover
 *    is written off.
 * 4. Nothing is charged that no run handed over.
 * 5. One run at most hands anything over, as long as the replay guard remembers. What runs twice
 *    because it forgot is charged once, within the hold, for one run or the other.
 *
 * So a client that has its whole answer pays exactly for it, unless the api's verdict and finn's
 * report are both lost, each by a fault of its own.
 */
export function faultsOfRequest(fact: Fact, model: LedgerModel, hasForgotten: boolean): string[] {
  const name = fact.request.reservationId;
  const reservation = model.reservations.get(name);
  if (reservation === undefined) {
    return fact.runs.length > 0 ? [`${name}: ran without a hold`] : [];
  }
  const faults = isTerminal(reservation) ? [] : ['its hold has no end'];
  if (fact.runs.length <= 1 || !hasForgotten) {
    const answered = fact.runs.filter(({ handed }) => handed !== undefined);
    if (answered.length > 1) faults.push('more than one run answered');
    faults.push(...faultsOfReports(fact), ...faultsOfCharge(fact, reservation, model));
  }
  return faults.map((fault) => `${name}: ${fault}`);
}

function faultsOfReports({ verdict, runs }: Fact): string[] {
  const faults: string[] = [];
  if (verdict.input !== undefined && !verdict.isApplied && verdict.lostBy === undefined) {
    faults.push('the verdict of the api never arrived');
  }
  for (const { isJournaled, report } of runs) {
    if (report === undefined) {
      if (isJournaled) faults.push('a journaled run was never reported');
    } else if (!report.isApplied && report.lostBy === undefined) {
      faults.push('a report of finn never arrived');
    }
  }
  return faults;
}

function faultsOfCharge(fact: Fact, reservation: ModelReservation, model: LedgerModel): string[] {
  const { chargeMicro, writtenOffMicro } = reservation;
  const owed = owedFor(fact, reservation, model);
  const faults: string[] = [];
  if (chargeMicro > owed.most) faults.push(`charged ${chargeMicro}, and owed ${owed.most}`);
  if (chargeMicro + writtenOffMicro < owed.least) {
    faults.push(`charged ${chargeMicro}, wrote off ${writtenOffMicro}, and owed ${owed.least}`);
  }
  // From the client's side, by nothing that the ledger was told: its whole answer, if anybody knew.
  const isKnown = fact.applied.some(
    ({ input, isTooLate }) => input.carrier !== 'journal' && !isTooLate,
  );
  if (fact.whole !== undefined && isKnown) {
    const price = model.owedMicro(reservation, fact.whole, fact.verdict.input?.poolUsed);
    if (price !== owed.most) faults.push(`owed ${owed.most} for a whole answer of ${price}`);
  }
  const handed = mostHanded(fact.runs, reservation, model);
  if (chargeMicro > handed) faults.push(`charged ${chargeMicro}, and handed over ${handed}`);
  return faults;
}

interface Owed {
  readonly least: Micro;
  readonly most: Micro;
}

function owedFor(fact: Fact, reservation: ModelReservation, model: LedgerModel): Owed {
  const reports = fact.applied.filter(({ isTooLate }) => !isTooLate);
  if (reports.some(({ input }) => input.action === 'release')) return { least: 0n, most: 0n };
  const price = ({ input }: Applied): Micro => priceOf(input, reservation, model);
  const final = reports.find(({ input }) => input.carrier !== 'journal');
  if (final !== undefined) return { least: price(final), most: price(final) };
  const shown = model.owedMicro(reservation, reservation.relayed, reservation.relayedPool);
  const journaled = reports.map(price);
  const least = journaled.reduce((most, each) => (each > most ? each : most), 0n);
  if (journaled.length === 0) {
    const isReconciled = reservation.settledBy === 'reconciliation';
    return isReconciled ? { least: shown, most: shown } : { least: 0n, most: 0n };
  }
  // Of two lower bounds the larger counts in tokens: their prompts may come from either.
  return { least, most: reservation.holdMicro };
}

function priceOf(input: SettlementInput, reservation: ModelReservation, model: LedgerModel): Micro {
  const { promptTokens = 0, completionTokens = 0, poolUsed } = input;
  return model.owedMicro(reservation, { promptTokens, completionTokens }, poolUsed);
}

function mostHanded(
  runs: readonly Run[],
  reservation: ModelReservation,
  model: LedgerModel,
): Micro {
  let most = 0n;
  for (const { handed, pool } of runs) {
    if (handed === undefined) continue;
    const micro = model.owedMicro(reservation, withinReport(handed, reservation), pool);
    if (micro > most) most = micro;
  }
  return most;
}

/** finn's own count of a prompt and its provider's differ: either may be the one that is charged. */
function withinReport(handed: TokenCount, { request }: ModelReservation): TokenCount {
  return { ...handed, promptTokens: request.promptTokens };
}
