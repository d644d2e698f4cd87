import type { ProviderRecord, Verdict } from '../types.ts';
import { fewestTokens, isReported, mostTokens, owedMicro, usageKey, type Case } from './answers.ts';
import { sumOf } from './books.ts';
import { Findings, type Broken } from './findings.ts';

export const CHARGED_ONCE =
  'every delivered answer is charged once: its tokens times the price, within the hold';
export const NOTHING_FOR_NOTHING = 'nothing is charged where nothing was delivered';
export const ONE_ANSWER_ONE_CHARGE = 'no answer is charged to two holds';

/** Each charge against the tokens that were delivered for it. */
export function auditCharges(cases: readonly Case[]): Verdict[] {
  return [auditChargedOnce(cases), auditNothing(cases), auditUniqueness(cases)];
}

function auditChargedOnce(cases: readonly Case[]): Verdict {
  const findings = new Findings(CHARGED_ONCE);
  let charged = 0;
  let unattributed = 0;
  for (const one of cases) {
    const { reservation } = one.settled;
    if (reservation.charge_micro > 0n) charged += 1;
    if (one.call === undefined && one.answers.length === 0) unattributed += 1;
    for (const fault of [faultOfMoney(one), faultOfCount(one), faultOfUsage(one)]) {
      if (fault === undefined) continue;
      findings.violated(`${reservation.id} (${describe(one)}): ${fault}`, brokenBy(one));
    }
  }
  return findings.verdict(
    `${charged} charges of ${cases.length} holds, ${unattributed} of clients that were told no id`,
  );
}

/** The charge, what was written off and the entries have to agree with the count that stands. */
function faultOfMoney({ settled }: Case): string | undefined {
  const { reservation, entries, writtenOffMicro } = settled;
  const { charge_micro: charge, hold_micro: hold } = reservation;
  const owed = owedMicro(settled);
  if (charge > hold) return `charged ${charge} of a hold of ${hold}`;
  if (charge > owed) return `charged ${charge}, owed ${owed}`;
  if (charge + writtenOffMicro < owed || (writtenOffMicro === 0n && charge !== owed)) {
    return `charged ${charge} and wrote off ${writtenOffMicro}, owed ${owed}`;
  }
  const spent = sumOf(entries, (entry) => {
    if (entry.to_kind === 'spent') return entry.amount_micro;
    return entry.from_kind === 'spent' ? -entry.amount_micro : 0n;
  });
  return spent === charge ? undefined : `charged ${charge}, but its entries spend ${spent}`;
}

function faultOfCount(one: Case): string | undefined {
  const { settled, call, answers } = one;
  const { reservation, count } = settled;
  const tokens = reservation.charge_micro === 0n ? 0 : (count?.completionTokens ?? 0);
  const fewest = fewestTokens(one);
  if (tokens < fewest) {
    return `charged for ${tokens} tokens, but its client got at least ${fewest}`;
  }
  if (reservation.settled_by === 'reconciliation') {
    const noted = reservation.relayed_completion_tokens;
    if (tokens !== noted) return `reconciled to ${tokens} tokens, relayed were ${noted}`;
  }
  if (call === undefined && answers.length === 0) return undefined;
  const most = mostTokens(answers);
  return tokens > most ? `charged for ${tokens} tokens, the provider sent ${most}` : undefined;
}

/** An answer that its client got to the end is charged exactly as its provider counted it. */
function faultOfUsage({ settled, call, answers }: Case): string | undefined {
  if (call?.outcome !== 'completed') return undefined;
  const { count } = settled;
  if (count === undefined) return 'its client got a whole answer, and no spend event says so';
  const whole = answers.filter(({ outcome }) => outcome === 'completed');
  if (whole.some((record) => usageKey(record) === usageKey(count))) return undefined;
  return `charged as ${usageKey(count)}, the provider counted ${whole.map(usageKey).join(' or ')}`;
}

function auditNothing(cases: readonly Case[]): Verdict {
  const findings = new Findings(NOTHING_FOR_NOTHING);
  let free = 0;
  for (const one of cases) {
    const { reservation } = one.settled;
    const why = nothingDelivered(one);
    if (why === undefined) continue;
    free += 1;
    if (reservation.charge_micro === 0n) continue;
    findings.violated(
      `${reservation.id} (${describe(one)}): charged ${reservation.charge_micro}, but ${why}`,
      brokenBy(one),
    );
  }
  return findings.verdict(`${free} holds of which nothing was delivered`);
}

function nothingDelivered({ call, answers }: Case): string | undefined {
  if (call === undefined) return undefined;
  if (call.outcome === 'refused' || call.outcome === 'unavailable') {
    return `its client was told ${call.status ?? 0}`;
  }
  return answers.some(({ pieces }) => pieces.length > 0)
    ? undefined
    : 'the provider never sent a piece';
}

/** The provider's usage is unique, so that a charge tells which answer it is for. */
function auditUniqueness(cases: readonly Case[]): Verdict {
  const findings = new Findings(ONE_ANSWER_ONE_CHARGE);
  const reported = new Set<string>();
  for (const record of uniqueRecords(cases)) reported.add(usageKey(record));
  const chargedTo = new Map<string, string>();
  for (const one of cases) {
    const { reservation, count } = one.settled;
    if (count === undefined || reservation.charge_micro === 0n) continue;
    const key = usageKey(count);
    if (!reported.has(key)) continue;
    const other = chargedTo.get(key);
    if (other !== undefined) {
      findings.violated(`${key} is charged to ${other} and to ${reservation.id}`, brokenBy(one));
    }
    chargedTo.set(key, reservation.id);
  }
  return findings.verdict(`${chargedTo.size} charges, each of its own amount`);
}

function uniqueRecords(cases: readonly Case[]): ProviderRecord[] {
  return cases.flatMap(({ answers }) => answers).filter(isReported);
}

export function describe({ settled, call }: Case): string {
  const { status, settled_by: settledBy } = settled.reservation;
  const told = call === undefined ? 'client unknown' : `${call.marker} ${call.outcome}`;
  return `${status} by ${settledBy ?? 'nobody'}, ${told}`;
}

export function brokenBy({ settled }: Case): Broken {
  const { id: reservationId, community_id: communityId } = settled.reservation;
  return { communityId, reservationId };
}
