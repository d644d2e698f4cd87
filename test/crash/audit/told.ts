import { setTimeout as pause } from 'node:timers/promises';
import type { CallRecord, Evidence, Verdict, World } from '../types.ts';
import type { Books, Settled } from './books.ts';
import { Findings } from './findings.ts';

export const TOLD = 'what a client was told is what the books say';
export const RECEIPTS = 'receipts and balances over HTTP are what the books say';
export const READS = 'no balance read is negative, or holds more than there is';

/** Receipts asked for over HTTP; beyond them every n-th one. */
const MOST_RECEIPTS = 400;
const TRIES = 20;
const BETWEEN_TRIES_MS = 250;

/** Each answer and refusal that a client saw, against what became of its hold. */
export function auditTold(
  settled: ReadonlyMap<string, Settled>,
  { calls }: Pick<Evidence, 'calls'>,
): Verdict {
  const findings = new Findings(TOLD);
  const outcomes = new Map<string, number>();
  for (const call of calls) {
    if (call.route === 'balance' || call.requestId === undefined) continue;
    const told = call.outcome === 'refused' ? String(call.status) : call.outcome;
    outcomes.set(told, (outcomes.get(told) ?? 0) + 1);
    const one = settled.get(call.requestId);
    const fault = faultOf(call, one);
    if (fault === undefined) continue;
    findings.violated(`${call.requestId} (${call.marker}, told ${told}): ${fault}`, {
      communityId: call.community,
      ...(one === undefined ? {} : { reservationId: call.requestId }),
    });
  }
  return findings.verdict([...outcomes].map(([told, count]) => `${count} ${told}`).join(', '));
}

/** 400, 401, 402, 403, 404, 429: decided before money is held. */
const BEFORE_ANY_HOLD = new Set([400, 401, 402, 403, 404, 429]);

function faultOf(call: CallRecord, settled: Settled | undefined): string | undefined {
  const { outcome, status, usage } = call;
  if (outcome === 'refused') {
    if (settled === undefined || !BEFORE_ANY_HOLD.has(status ?? 0)) return undefined;
    // A hold whose connection broke is given back; then the client was told 503.
    return `a hold of ${settled.reservation.hold_micro} was made`;
  }
  if (outcome !== 'completed') return undefined;
  if (settled === undefined) return 'there is no hold';
  const { count } = settled;
  if (count === undefined) return `its hold is ${settled.reservation.status}`;
  if (usage === undefined) return undefined;
  const isSame =
    usage.promptTokens === count.promptTokens && usage.completionTokens === count.completionTokens;
  return isSame
    ? undefined
    : `told ${usage.promptTokens}+${usage.completionTokens} tokens, charged for ${count.promptTokens}+${count.completionTokens}`;
}

interface BalanceView {
  readonly available: string;
  readonly held: string;
  readonly spent: string;
  readonly expired: string;
  readonly minted: string;
  readonly refunded: string;
  readonly debt: string;
  readonly lots: readonly { readonly remaining: string }[];
}

/** What any reader of `GET /api/v1/balance` saw under load; each read is one moment. */
export function auditReads({ calls }: Pick<Evidence, 'calls'>): Verdict {
  const findings = new Findings(READS);
  const reads = calls.filter((call) => call.route === 'balance' && call.outcome === 'completed');
  for (const { text, community: communityId, startedAtMs } of reads) {
    const fault = faultOfBalance(JSON.parse(text) as BalanceView);
    if (fault === undefined) continue;
    const at = new Date(startedAtMs).toISOString().slice(11, 23);
    findings.violated(`${communityId} at ${at}: ${fault}`, { communityId });
  }
  return findings.verdict(`${reads.length} reads`);
}

function faultOfBalance(view: BalanceView): string | undefined {
  const { lots, ...told } = view;
  const below = Object.entries(told).find(([, amount]) => amount.startsWith('-'));
  if (below !== undefined) return below.join(' ');
  const [available, held] = [BigInt(view.available), BigInt(view.held)];
  const gone = BigInt(view.spent) + BigInt(view.expired) + BigInt(view.refunded);
  const unspent = BigInt(view.minted) - gone;
  if (held > unspent) return `held ${held} of ${unspent}`;
  if (available + held !== unspent) return `available ${available} + held ${held}, not ${unspent}`;
  const inLots = lots.reduce((sum, { remaining }) => sum + BigInt(remaining), 0n);
  return inLots === unspent ? undefined : `${inLots} in lots, not ${unspent}`;
}

interface ReceiptView {
  readonly status: string;
  readonly hold: string;
  readonly charge: string;
  readonly writtenOff: string;
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  readonly settledBy: string | null;
}

/** Asks as a client would, after healing. */
export async function auditReceipts(
  world: World,
  books: Books,
  settled: ReadonlyMap<string, Settled>,
): Promise<Verdict> {
  const findings = new Findings(RECEIPTS);
  const all = [...settled.values()];
  const step = Math.max(1, Math.ceil(all.length / MOST_RECEIPTS));
  const sample = all.filter((_one, index) => index % step === 0);
  for (const [index, one] of sample.entries()) {
    const { id: reservationId, community_id: communityId } = one.reservation;
    const path = `/api/v1/usage/${reservationId}`;
    const told = await get<ReceiptView>(world, communityId, { path, turn: index });
    const fault = faultOfReceipt(told, one);
    if (fault !== undefined) {
      findings.violated(`${reservationId}: ${fault}`, { communityId, reservationId });
    }
  }
  for (const { id: communityId } of world.communities) {
    const view = await get<BalanceView>(world, communityId, { path: '/api/v1/balance', turn: 0 });
    for (const kind of ['available', 'held', 'spent', 'expired', 'refunded'] as const) {
      const row = books.accounts.find(
        (account) => account.community_id === communityId && account.kind === kind,
      );
      // Who never bought has no account of refunds.
      if (String(row?.balance_micro ?? 0n) === view[kind]) continue;
      findings.violated(`${kind} of ${communityId} is told as ${view[kind]}`, { communityId });
    }
  }
  return findings.verdict(`${sample.length} of ${all.length} receipts`);
}

function faultOfReceipt(told: ReceiptView, { reservation, count, writtenOffMicro }: Settled) {
  const expected: ReceiptView = {
    status: reservation.status,
    hold: String(reservation.hold_micro),
    charge: String(reservation.charge_micro),
    writtenOff: String(writtenOffMicro),
    promptTokens: count?.promptTokens ?? null,
    completionTokens: count?.completionTokens ?? null,
    settledBy: reservation.settled_by,
  };
  const names = Object.keys(expected) as (keyof ReceiptView)[];
  const wrong = names.filter((name) => told[name] !== expected[name]);
  if (wrong.length === 0) return undefined;
  return wrong
    .map((name) => `${name} ${String(told[name])}, not ${String(expected[name])}`)
    .join(', ');
}

/** @throws when no replica answers within some seconds */
async function get<View>(
  world: World,
  communityId: string,
  { path, turn }: { readonly path: string; readonly turn: number },
): Promise<View> {
  const community = world.communities.find(({ id }) => id === communityId);
  let last = 'no such community';
  for (let attempt = 0; attempt < TRIES && community !== undefined; attempt += 1) {
    const { url } = world.apis[(turn + attempt) % world.apis.length]!;
    try {
      const headers = { authorization: `Bearer ${community.apiKeys[0]}` };
      const response = await fetch(url + path, { headers });
      if (response.status === 200) return (await response.json()) as View;
      last = `status ${String(response.status)}`;
    } catch (error) {
      last = String(error);
    }
    await pause(BETWEEN_TRIES_MS);
  }
  throw new Error(`${path} is not answered: ${last}`);
}
