import type { Pool } from '@arrakis/contracts';
import type { TokenCount } from '@arrakis/money';
import type { Carrier } from '../reservation.domain.ts';
import type { Process } from './agenda.domain.ts';
import { Connection, type ApiEnd, type FinnMessage } from './connection.domain.ts';
import type { Fact } from './facts.domain.ts';
import type { FinnRequest } from './finn.domain.ts';
import type { SettlementInput } from '../settlement.domain.ts';
import type { World } from './world.domain.ts';

/** What a request needs of the api that serves it. */
export interface Host {
  readonly process: Process;
  readonly finns: readonly { readonly process: Process; receive(request: FinnRequest): void }[];
  note(input: SettlementInput): void;
  conclude(fact: Fact, input: SettlementInput): void;
  ended(served: Served): void;
}

const TOTAL_TIMEOUT_MS = 60_000;
const IDLE_TIMEOUT_MS = 20_000;
const NOTE_PERIOD_MS = 2_000;
const BACKOFF_MS = [1_000, 2_000] as const;

/** One request on an api, from its hold to its one end: settled, released, or left to the jobs. */
export class Served {
  readonly #world: World;
  readonly #host: Host;
  readonly #fact: Fact;
  #connection: Connection | undefined;
  #attempts = 0;
  #deadlineMs = 0;
  #quietSinceMs = 0;
  #hasAnswer = false;
  #isOver = false;
  #isClientGone = false;
  #isClosedToClient = false;
  #seenTokens = 0;
  #promptTokens = 0;
  #pool: Pool | undefined;
  #isFlushPlanned = false;
  #notedTokens = 0;
  #notedAtMs = Number.NEGATIVE_INFINITY;

  constructor(world: World, host: Host, fact: Fact) {
    this.#world = world;
    this.#host = host;
    this.#fact = fact;
  }

  get #id(): string {
    return this.#fact.request.reservationId;
  }

  dropConnection(): void {
    this.#connection?.close();
  }

  onHeld(): void {
    if (this.#isClientGone) {
      this.#release();
      return;
    }
    this.#deadlineMs = this.#world.nowMs + TOTAL_TIMEOUT_MS;
    this.#attempt();
    this.#watchTime();
  }

  onRefused(): void {
    this.#end();
  }

  /** A lost answer may hide a hold that was made: it is given back. */
  onHoldUnknown(): void {
    this.#release();
  }

  onClientGone(): void {
    if (this.#isOver || this.#isClosedToClient) return;
    this.#isClientGone = true;
    // Still waiting for its hold: that will be given back when it is known.
    if (this.#attempts === 0) return;
    this.#connection?.close();
    this.#concludeBroken();
  }

  #onLost(): void {
    if (this.#isOver) return;
    if (this.#hasAnswer && this.#fact.isStream) this.#concludeBroken();
    else this.#retryOrRelease();
  }

  #onMessage(message: FinnMessage): void {
    if (this.#isOver) return;
    this.#quietSinceMs = this.#world.nowMs;
    switch (message.kind) {
      case 'token':
        this.#onToken(message);
        return;
      case 'done':
        this.#pool = message.pool;
        this.#relay(Math.max(this.#seenTokens, message.count.completionTokens));
        this.#answered('done_event', message.count);
        return;
      case 'plain':
        this.#pool = message.pool;
        this.#relay(message.count.completionTokens);
        this.#answered('response_header', message.count);
        return;
      case 'error':
        this.#onError();
        return;
      case 'trailer':
        this.#settleBroken(message.tokens);
        return;
      case 'refusal':
        this.#onRefusal(message.isServerFault, message.isUsed);
    }
  }

  #onToken({ pool, promptTokens, tokens }: Extract<FinnMessage, { kind: 'token' }>): void {
    this.#hasAnswer = true;
    this.#pool = pool;
    this.#promptTokens = promptTokens;
    this.#seenTokens = tokens;
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    this.#world.after(0, this.#host.process, 'relay writes', () => {
      this.#isFlushPlanned = false;
      if (this.#isOver || this.#isClosedToClient) return;
      this.#relay(this.#seenTokens);
      this.#noteProgress();
    });
  }

  #relay(tokens: number): void {
    this.#fact.relayedTokens = Math.max(this.#fact.relayedTokens, tokens);
  }

  #noteProgress(): void {
    const { nowMs } = this.#world;
    const tokens = this.#fact.relayedTokens;
    if (tokens === this.#notedTokens || nowMs - this.#notedAtMs < NOTE_PERIOD_MS) return;
    this.#notedAtMs = nowMs;
    this.#notedTokens = tokens;
    this.#host.note(this.#progress());
  }

  #progress(): SettlementInput {
    return {
      reservationId: this.#id,
      action: 'progress',
      promptTokens: this.#promptTokens,
      completionTokens: this.#fact.relayedTokens,
      poolUsed: this.#pool,
    };
  }

  #answered(carrier: Carrier, count: TokenCount): void {
    this.#isClosedToClient = true;
    this.#fact.whole = count;
    this.#settle(carrier, count);
  }

  /** finn's answer broke off; its trailer may still bring the count. */
  #onError(): void {
    if (!this.#hasAnswer) {
      this.#release();
      return;
    }
    this.#relay(this.#seenTokens);
    this.#isClosedToClient = true;
  }

  #settleBroken(tokens: number): void {
    if (this.#fact.relayedTokens === 0) this.#release();
    else
      this.#settle('response_header', {
        promptTokens: this.#promptTokens,
        completionTokens: tokens,
      });
  }

  /** No count of finn: what was relayed is noted, and the event or the jobs settle. */
  #concludeBroken(): void {
    if (this.#hasAnswer && !this.#isClientGone) this.#relay(this.#seenTokens);
    if (this.#fact.relayedTokens === 0) {
      this.#release();
      return;
    }
    this.#host.note(this.#progress());
    this.#end();
  }

  #settle(carrier: Carrier, { promptTokens, completionTokens }: TokenCount): void {
    const { reservationId } = this.#fact.request;
    const poolUsed = this.#pool;
    this.#end();
    this.#host.conclude(this.#fact, {
      reservationId,
      action: 'settle',
      carrier,
      promptTokens,
      completionTokens,
      poolUsed,
    });
  }

  #release(): void {
    this.#end();
    this.#host.conclude(this.#fact, { reservationId: this.#id, action: 'release' });
  }

  #end(): void {
    this.#isOver = true;
    this.#host.ended(this);
  }

  // Attempts at finn.

  #attempt(): void {
    const world = this.#world;
    const { process, finns } = this.#host;
    this.#attempts += 1;
    this.#quietSinceMs = world.nowMs;
    const finn = world.random.pick(finns);
    const end: ApiEnd = {
      onMessage: (message) => {
        if (this.#connection === connection) this.#onMessage(message);
      },
      onLost: () => {
        if (this.#connection === connection) this.#onLost();
      },
    };
    const connection = new Connection(world, process, finn.process, end);
    this.#connection = connection;
    if (!finn.process.isUp) {
      connection.close();
      world.after(world.latencyMs(), process, 'finn refuses the connection', () => {
        if (!this.#isOver && this.#connection === connection) this.#retryOrRelease();
      });
      return;
    }
    const request: FinnRequest = {
      fact: this.#fact,
      jti: `${this.#id}.${this.#attempts}`,
      signedAtMs: world.nowMs,
      connection,
    };
    world.after(world.latencyMs(), finn.process, 'request arrives', () => finn.receive(request));
    if (world.fault(world.scenario.doubled)) this.#replay(request);
  }

  /** Somebody sends the very same bytes again, perhaps to another finn. */
  #replay(request: FinnRequest): void {
    const world = this.#world;
    const finn = world.random.pick(this.#host.finns);
    const nobody = { onMessage: () => undefined, onLost: () => undefined };
    const connection = new Connection(world, this.#host.process, finn.process, nobody);
    world.after(world.latencyMs(), finn.process, 'replayed request arrives', () =>
      finn.receive({ ...request, connection }),
    );
  }

  #onRefusal(isServerFault: boolean, isUsed: boolean): void {
    // Used up by an earlier attempt of ours: its answer is lost, and nothing may run twice.
    if (isUsed || !isServerFault) this.#release();
    else this.#retryOrRelease();
  }

  #retryOrRelease(): void {
    const world = this.#world;
    const nominalMs = BACKOFF_MS[this.#attempts - 1];
    const waitMs = ((nominalMs ?? 0) * world.random.between(75, 125)) / 100;
    if (nominalMs === undefined || world.nowMs + waitMs >= this.#deadlineMs) {
      this.#release();
      return;
    }
    this.#connection?.close();
    this.#connection = undefined;
    this.#quietSinceMs = world.nowMs + waitMs;
    world.after(waitMs, this.#host.process, 'next attempt', () => {
      if (!this.#isOver) this.#attempt();
    });
  }

  #watchTime(): void {
    if (this.#isOver) return;
    const world = this.#world;
    const silenceMs = this.#fact.isStream ? IDLE_TIMEOUT_MS : TOTAL_TIMEOUT_MS;
    const dueMs = Math.min(this.#deadlineMs, this.#quietSinceMs + silenceMs);
    world.after(Math.max(1, dueMs - world.nowMs), this.#host.process, 'look at the clock', () => {
      if (this.#isOver) return;
      const isLate = world.nowMs >= this.#deadlineMs;
      if (!isLate && world.nowMs < this.#quietSinceMs + silenceMs) {
        this.#watchTime();
        return;
      }
      // Between two attempts: the next one is planned.
      if (this.#connection === undefined && !isLate) {
        this.#watchTime();
        return;
      }
      this.#connection?.close();
      if (this.#hasAnswer || isLate) {
        this.#concludeBroken();
        return;
      }
      this.#retryOrRelease();
      this.#watchTime();
    });
  }
}
