import { randomUUID } from 'node:crypto';
import { createPool } from '@arrakis/postgres';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { createReservationEvents } from '../../../services/freeside/src/features/reservations/events.ts';
import { ReservationService } from '../../../services/freeside/src/features/reservations/service.ts';
import { arrive } from '../lib/arrivals.ts';
import type { Marks } from '../lib/load-messages.ts';
import { summarise } from '../lib/statistics.ts';
import type { Account, LedgerLoad, LedgerResult } from './protocol.ts';

/** What an open loop that can't keep up may have waiting; more would only measure the queue. */
const MAX_QUEUE = 1_000_000;

/** Holds and settlements on one account, as freeside's api makes them. @throws when one is refused */
export async function runLedgerLoad(load: LedgerLoad, marks: Marks): Promise<LedgerResult> {
  const db = createPool({
    url: load.databaseUrl,
    max: 4,
    applicationName: 'bench',
    onError: () => undefined,
  });
  try {
    const events = createReservationEvents(
      createRegistry('bench'),
      createLogger({ service: 'bench', level: 'silent' }),
    );
    const service = new ReservationService({ db, events, maxQueue: MAX_QUEUE });
    await play(new Pairs(service, load.account), load, load.warmUpMs);
    const pairs = new Pairs(service, load.account);
    await marks.begin();
    const beganMs = performance.now();
    await play(pairs, load, load.durationMs);
    const elapsedMs = performance.now() - beganMs;
    await marks.end();
    return {
      pairs: pairs.holdsMs.length,
      elapsedMs,
      hold: summarise(pairs.holdsMs),
      pair: summarise(pairs.pairsMs),
    };
  } finally {
    await db.end();
  }
}

async function play(pairs: Pairs, load: LedgerLoad, durationMs: number): Promise<void> {
  if (load.kind === 'open') {
    await arrive(load.perSecond, durationMs, (intendedMs) => pairs.make(intendedMs));
  } else {
    const untilMs = performance.now() + durationMs;
    const caller = async (): Promise<void> => {
      while (performance.now() < untilMs) await pairs.make(performance.now());
    };
    await Promise.all(Array.from({ length: load.callers }, caller));
  }
  await pairs.settled();
}

class Pairs {
  readonly holdsMs: number[] = [];
  readonly pairsMs: number[] = [];
  readonly #service: ReservationService;
  readonly #account: Account;
  readonly #settling = new Set<Promise<void>>();

  constructor(service: ReservationService, account: Account) {
    this.#service = service;
    this.#account = account;
  }

  /** Resolves with the hold; nobody waits for the settlement, as when an answer was given. */
  async make(startMs: number): Promise<void> {
    const reservationId = randomUUID();
    const decision = await this.#service.reserve({
      reservationId,
      ...this.#account,
      nftId: 'bench',
      pool: 'cheap',
      promptTokens: 500,
      maxTokens: 500,
    });
    this.holdsMs.push(performance.now() - startMs);
    if (!decision.accepted) throw new Error(`refused: ${decision.code}`);
    const settling = this.#settle(reservationId, startMs);
    this.#settling.add(settling);
    settling.then(
      () => this.#settling.delete(settling),
      () => undefined,
    );
  }

  /** @throws what a settlement threw */
  async settled(): Promise<void> {
    while (this.#settling.size > 0) await Promise.all(this.#settling);
  }

  async #settle(reservationId: string, startMs: number): Promise<void> {
    await this.#service.settle({
      reservationId,
      carrier: 'done_event',
      promptTokens: 200,
      completionTokens: 300,
      poolUsed: 'cheap',
      model: 'bench',
      personalityId: 'bench',
      latencyMs: 1,
    });
    this.pairsMs.push(performance.now() - startMs);
  }
}
