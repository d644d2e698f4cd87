import { priceTokens } from '@arrakis/money';
import type { ObservedCall } from '../load/call.ts';
import { PRICES } from '../load/unique-usage.ts';
import type { CallRecord, Evidence, ProviderRecord } from '../types.ts';
import type { Settled } from './books.ts';

/** One hold with everything that is known about its answer. */
export interface Case {
  readonly settled: Settled;
  /** The client that was told this id; unknown where no status line came. */
  readonly call: CallRecord | undefined;
  /** What the provider did for that client, retries and fallbacks included. */
  readonly answers: readonly ProviderRecord[];
}

/**
 * Puts the books beside what clients and provider saw. A client that was told no id is found by what
 * the provider reported for it, which no other answer has.
 */
export function casesOf(
  settled: ReadonlyMap<string, Settled>,
  { calls, provider }: Evidence,
): Case[] {
  const byId = new Map(calls.map((call) => [call.requestId, call]));
  const byMarker = Map.groupBy(provider, (record) => record.marker);
  const byUsage = new Map(provider.filter(isReported).map((record) => [usageKey(record), record]));
  return [...settled.values()].map((one) => {
    const call = byId.get(one.reservation.id);
    if (call !== undefined) {
      return { settled: one, call, answers: byMarker.get(call.marker) ?? [] };
    }
    const record = one.count === undefined ? undefined : byUsage.get(usageKey(one.count));
    return { settled: one, call: undefined, answers: record === undefined ? [] : [record] };
  });
}

/** Whole answers whose provider named a usage that is unique in the run. */
export function isReported(record: ProviderRecord): boolean {
  return record.outcome === 'completed' && record.usageReported;
}

export function usageKey(usage: {
  readonly pool: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
}): string {
  return `${usage.pool} ${usage.promptTokens}+${usage.completionTokens}`;
}

/** ⌈price × tokens⌉, at most the hold; nothing for no token. */
export function owedMicro({ reservation, count }: Settled): bigint {
  if (count === undefined || count.completionTokens === 0) return 0n;
  const price = priceTokens(PRICES[count.pool], count);
  return price < reservation.hold_micro ? price : reservation.hold_micro;
}

/** Tokens of a text that is made of the provider's words. */
export function tokensOfText(text: string): number {
  return text.split(' ').length - 1;
}

/** The most tokens that anybody can say were delivered. */
export function mostTokens(answers: readonly ProviderRecord[]): number {
  return answers.reduce((most, { completionTokens }) => Math.max(most, completionTokens), 0);
}

/**
 * The fewest tokens that must be charged for what this client provably got.
 *
 * - finn's final count covers all that it handed on, so all that the client has.
 * - A journal counts pieces, each at least a token, and may lag by the turn in which finn died.
 * - What nobody reports on is settled to what freeside had noted, which lags by two seconds; the
 *   count is compared with the note itself instead.
 * - A hold that was given back has to be one of which the client got nothing.
 */
export function fewestTokens({ settled, call }: Case): number {
  if (call === undefined) return 0;
  switch (settled.reservation.settled_by) {
    case 'usage_event':
    case 'done_event':
    case 'response_header':
    case 'not_delivered':
      return tokensOfText(call.text);
    case 'reconciliation':
      return 0;
    case 'journal':
    case null:
      return piecesNotedByNow(call);
  }
}

function piecesNotedByNow(call: CallRecord): number {
  return (call as Partial<ObservedCall>).earlyPieces ?? 0;
}
