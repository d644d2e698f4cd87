import { conclude, type Gate, type Json, type JsonObject } from '../gate.domain.ts';
import { codeOf, type FreesideClient } from '../probes/freeside.client.ts';
import { ask, at, type HttpAnswer } from '../probes/http.client.ts';
import { REVIEW_HOURS, STUCK_MINUTES, type PaymentsCheck } from '../probes/payments.store.ts';

export interface PaymentsOptions {
  readonly freesideUrl: string;
  readonly freeside: FreesideClient | undefined;
  /** What the tables say, where there is a way to read them. */
  readonly checkPayments: (() => Promise<PaymentsCheck>) | undefined;
  readonly now: () => Date;
  readonly deadlineMs: number;
}

interface Notes {
  readonly wrong: string[];
  readonly unclear: string[];
}

/** The webhook's length of signature, by nobody's secret. */
const FORGED = '0'.repeat(128);

/**
 * From the list of packs to the credits, as far as that goes without money: an invoice that nobody
 * pays, at most one a day, a notice that must not be believed, and what became of the real ones.
 */
export function paymentsGate(options: PaymentsOptions): Gate {
  return {
    name: 'payments',
    asks: 'can credits be bought, is a forged notice refused, and has every paid invoice minted once',
    deadlineMs: options.deadlineMs,
    whenLate: 'inconclusive',
    async run(signal) {
      const notes: Notes = { wrong: [], unclear: [] };
      const packs = await packIds(options.freesideUrl, notes, signal);
      const forged = await tryForgery(options.freesideUrl, notes, signal);
      const sale = await tryBuying(options, packs[0], notes, signal);
      const tables = await options.checkPayments?.();
      noteTables(notes, tables);
      return conclude(
        notes,
        `${String(packs.length)} packs, ${sale}; a forged notice refused; ${String(tables?.credited ?? 0)} payments credited once each`,
        { packs, forged, sale, tables: viewOf(tables) },
      );
    },
  };
}

async function packIds(url: string, { wrong }: Notes, signal: AbortSignal): Promise<string[]> {
  const { status, json } = await ask(`${url}/api/v1/credit-packs`, { signal });
  const listed = at(json, 'packs');
  const packs = Array.isArray(listed) ? listed : [];
  const ids = packs.filter(isPack).map((pack) => pack.id);
  if (status !== 200) wrong.push(`the credit packs: ${String(status)}`);
  else if (ids.length === 0) wrong.push('no credit pack is offered');
  else if (ids.length < packs.length) wrong.push('a credit pack lacks its price or its credits');
  return ids;
}

function isPack(pack: unknown): pack is { readonly id: string } {
  const isMicro = (value: unknown): boolean =>
    typeof value === 'string' && /^[1-9]\d*$/.test(value);
  return (
    typeof at(pack, 'id') === 'string' && isMicro(at(pack, 'price')) && isMicro(at(pack, 'credits'))
  );
}

async function tryForgery(
  url: string,
  { wrong, unclear }: Notes,
  signal: AbortSignal,
): Promise<JsonObject> {
  const { status, json } = await ask(`${url}/api/crypto/webhook`, {
    method: 'POST',
    headers: { 'x-nowpayments-sig': FORGED },
    body: { payment_id: 1, payment_status: 'finished' },
    signal,
  });
  const code = codeOf(json) ?? null;
  if (status === 503 && code === 'feature_disabled') {
    unclear.push('payments are not configured here (the webhook has no secret)');
  } else if (status === 429) {
    unclear.push('the webhook’s limit for this address is used up');
  } else if (status !== 401 || code !== 'invalid_signature') {
    wrong.push(`a forged notice: ${String(status)} ${code ?? ''}, not 401`);
  }
  return { status, code };
}

/** In words, for the table. Switched off is as it was told; everything else has to give an invoice. */
async function tryBuying(
  { freeside, now }: PaymentsOptions,
  pack: string | undefined,
  { wrong, unclear }: Notes,
  signal: AbortSignal,
): Promise<string> {
  if (freeside === undefined) {
    unclear.push('no API key was given (GONOGO_API_KEY), so nothing was asked for');
    return 'not asked to sell';
  }
  if (pack === undefined) return 'nothing to sell';
  // The same key for a day: repeated runs get the same invoice.
  const answer = await freeside.buy(pack, `gonogo-${now().toISOString().slice(0, 10)}`, signal);
  if (isSwitchedOff(answer)) {
    if (!String(at(answer.json, 'detail')).includes('switched off')) {
      unclear.push('payments are not configured here (no vendor)');
    }
    return 'the sale is switched off';
  }
  const checkout = at(answer.json, 'checkoutUrl');
  if (answer.status >= 400) {
    wrong.push(
      `an invoice: ${String(answer.status)} ${codeOf(answer.json) ?? ''}, not a payment`.trim(),
    );
  } else if (typeof checkout !== 'string' || !/^https?:/.test(checkout)) {
    wrong.push('a payment without a checkout page');
  }
  return 'an invoice was made';
}

function isSwitchedOff({ status, json }: HttpAnswer): boolean {
  return status === 503 && codeOf(json) === 'feature_disabled';
}

function noteTables({ wrong, unclear }: Notes, tables: PaymentsCheck | undefined): void {
  if (tables === undefined) {
    unclear.push('no DATABASE_URL shows what became of the payments');
    return;
  }
  const { stuck, overdueReviews, byNotice, faults } = tables;
  if (stuck > 0) {
    wrong.push(`${String(stuck)} payments without news for ${String(STUCK_MINUTES)} minutes`);
  }
  if (overdueReviews > 0) {
    wrong.push(`${String(overdueReviews)} reviews older than ${String(REVIEW_HOURS)} h`);
  }
  wrong.push(...faults);
  if (!byNotice) unclear.push('no notice has ever credited a payment here: buy the smallest pack');
}

function viewOf(tables: PaymentsCheck | undefined): Json {
  return tables === undefined ? null : { ...tables, faults: [...tables.faults] };
}
