import { setTimeout as pause } from 'node:timers/promises';
import { conclude, type Finding, type Gate, type JsonObject } from '../gate.domain.ts';
import {
  balanceFaults,
  fallFaults,
  isSettled,
  parseBalance,
  parseReceipt,
  receiptFaults,
  type BalanceView,
  type ReceiptView,
} from '../probes/books.domain.ts';
import type { BooksCheck } from '../probes/books.store.ts';
import type { FreesideClient } from '../probes/freeside.client.ts';
import { at } from '../probes/http.client.ts';
import { withoutApiKey } from './no-key.ts';

export interface BillingOptions {
  readonly freeside: FreesideClient | undefined;
  /** The books themselves, where there is a way to read them. */
  readonly checkBooks: (() => Promise<BooksCheck>) | undefined;
  /** Metered answers to buy. */
  readonly answers: number;
  readonly deadlineMs: number;
}

interface Round {
  readonly receipts: readonly ReceiptView[];
  readonly chargedMicro: bigint;
  readonly fellByMicro: bigint;
  readonly after: BalanceView;
  readonly wrong: readonly string[];
  readonly unclear: readonly string[];
}

const ROUNDS = 3;
const SETTLE_TIMEOUT_MS = 30_000;
const POLL_MS = 100;

/**
 * Money in equals money out: what the receipts say is what the balance fell by, and the books'
 * equations hold. Somebody else's answers in between only ever make the balance fall further, so
 * that a fall below the receipts is wrong at once, and one beyond them is tried again.
 */
export function billingGate(options: BillingOptions): Gate {
  return {
    name: 'billing',
    asks: 'do receipts, balance and books agree to the micro-credit',
    deadlineMs: options.deadlineMs,
    whenLate: 'inconclusive',
    lane: 'spending',
    async run(signal) {
      if (options.freeside === undefined) return withoutApiKey();
      let round = await buy(options.freeside, options.answers, signal);
      for (let tried = 1; tried < ROUNDS && isDisturbed(round); tried += 1) {
        round = await buy(options.freeside, options.answers, signal);
      }
      const books = await options.checkBooks?.();
      return judge(round, books);
    },
  };
}

function isDisturbed({ wrong, unclear, fellByMicro, chargedMicro }: Round): boolean {
  return wrong.length === 0 && unclear.length === 0 && fellByMicro > chargedMicro;
}

function judge(round: Round, books: BooksCheck | undefined): Finding {
  const wrong = [...round.wrong];
  const unclear = [...round.unclear];
  if (isDisturbed(round) && books === undefined) {
    unclear.push('other traffic spent from the same balance, and no DATABASE_URL shows the books');
  }
  if (books?.equations === 0) unclear.push('the books hold nothing to check');
  for (const { equation, driftMicro } of books?.drifts ?? []) {
    wrong.push(`the books: ${equation} is off by ${driftMicro}`);
  }
  const count = String(round.receipts.length);
  const shown =
    books === undefined ? 'books not read' : `${String(books.equations)} equations hold`;
  return conclude(
    { wrong, unclear },
    `${count} answers cost ${String(round.chargedMicro)}, the balance fell by ${String(round.fellByMicro)}; ${shown}`,
    evidenceOf(round, books),
  );
}

async function buy(freeside: FreesideClient, count: number, signal: AbortSignal): Promise<Round> {
  const unclear: string[] = [];
  const before = await balanceOf(freeside, signal);
  const model = at((await freeside.models(signal)).json, 'data', 0, 'id');
  if (typeof model !== 'string') throw new Error('/v1/models named no model to buy from');
  const answers = await Promise.all(
    Array.from({ length: count }, () => freeside.chat(model, signal)),
  );
  const receipts: ReceiptView[] = [];
  for (const { status, code, requestId } of answers) {
    if (status !== 200 || requestId === undefined) {
      unclear.push(`an answer could not be bought: ${String(status)} ${code ?? ''}`.trim());
      continue;
    }
    const receipt = await settledReceipt(freeside, requestId, signal);
    if (typeof receipt === 'string') unclear.push(receipt);
    else receipts.push(receipt);
  }
  const after = await balanceOf(freeside, signal);
  return compare({ before, after, receipts, unclear });
}

function compare(seen: {
  readonly before: BalanceView;
  readonly after: BalanceView;
  readonly receipts: readonly ReceiptView[];
  readonly unclear: readonly string[];
}): Round {
  const { before, after, receipts, unclear } = seen;
  const chargedMicro = receipts.reduce((sum, { chargeMicro }) => sum + chargeMicro, 0n);
  const fellByMicro = after.spent - before.spent;
  const wrong = [
    ...balanceFaults(before),
    ...balanceFaults(after),
    ...receipts.filter(isSettled).flatMap(receiptFaults),
    ...receipts.filter((one) => !isSettled(one)).map(openTooLong),
    ...fallFaults(chargedMicro, fellByMicro),
  ];
  return { receipts, chargedMicro, fellByMicro, after, wrong, unclear };
}

function openTooLong({ requestId, status }: ReceiptView): string {
  return `receipt ${requestId} is still ${status} after ${String(SETTLE_TIMEOUT_MS / 1000)} s`;
}

async function balanceOf(freeside: FreesideClient, signal: AbortSignal): Promise<BalanceView> {
  const { status, json } = await freeside.balance(signal);
  const view = status === 200 ? parseBalance(json) : undefined;
  if (view === undefined) throw new Error(`/api/v1/balance answered ${String(status)}`);
  return view;
}

/** The receipt once it is final, or as it stands when the time is up. */
async function settledReceipt(
  freeside: FreesideClient,
  requestId: string,
  signal: AbortSignal,
): Promise<ReceiptView | string> {
  const endMs = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const { status, json } = await freeside.receipt(requestId, signal);
    const receipt = status === 200 ? parseReceipt(json) : undefined;
    const isLate = performance.now() >= endMs;
    if (receipt !== undefined && (isSettled(receipt) || isLate)) return receipt;
    if (isLate) return `receipt ${requestId} could not be read: ${String(status)}`;
    await pause(POLL_MS, undefined, { signal });
  }
}

function evidenceOf(round: Round, books: BooksCheck | undefined): JsonObject {
  return {
    chargedMicro: String(round.chargedMicro),
    fellByMicro: String(round.fellByMicro),
    balance: Object.fromEntries(
      Object.entries(round.after).map(([name, micro]) => [name, String(micro)]),
    ),
    receipts: round.receipts.map(({ requestId, status, holdMicro, chargeMicro }) => ({
      requestId,
      status,
      hold: String(holdMicro),
      charge: String(chargeMicro),
    })),
    books:
      books === undefined
        ? null
        : { equations: books.equations, drifts: books.drifts.map((drift) => ({ ...drift })) },
  };
}
