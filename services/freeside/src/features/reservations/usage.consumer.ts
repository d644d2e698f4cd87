import { setTimeout as delay } from 'node:timers/promises';
import { Compile } from 'typebox/compile';
import { USAGE_STREAM, UsageEvent } from '@arrakis/contracts';
import { ensureUsageStreams } from '@arrakis/nats';
import { ProblemError, type Logger } from '@arrakis/service-kit';
import { continueTrace, type ActiveSpan } from '@arrakis/telemetry';
import type { JetStreamClient, JetStreamManager, JsMsg } from '@nats-io/jetstream';
import { AckPolicy } from '@nats-io/jetstream';
import type { ReservationEvents } from './events.ts';
import type { SettlementInput, SettlementResult } from './settlement.domain.ts';

const SECOND_NS = 1_000_000_000;
/** How many events may be on their way to the database at once. */
const MAX_IN_FLIGHT = 1_000;
const RETRY_DELAY_MS = 2_000;
const TRACE_HEADER = 'traceparent';

export interface UsageConsumerOptions {
  /** Waits for the first connection; called again whenever consuming was interrupted. */
  readonly connect: () => Promise<{ client: JetStreamClient; manager: JetStreamManager }>;
  readonly settle: (settlement: SettlementInput) => Promise<SettlementResult>;
  readonly events: ReservationEvents;
  readonly logger: Logger;
  /** Copies of a stream that is made here; 1 unless said. */
  readonly streamReplicas?: number;
}

/**
 * Settles reservations from finn's usage events. An event is acknowledged only after its settlement
 * has committed, so a crash in between brings it again and the second time changes nothing. What
 * cannot be processed is moved to the parked stream and never blocks the others.
 */
export class UsageConsumer {
  readonly #options: UsageConsumerOptions;
  #stopping = false;
  #stop: (() => void) | undefined;
  #client: JetStreamClient | undefined;
  readonly #inFlight = new Set<Promise<void>>();

  constructor(options: UsageConsumerOptions) {
    this.#options = options;
  }

  /** Runs until `close()`; survives NATS restarts, with or without its store. */
  async run(): Promise<void> {
    while (!this.#stopping) {
      try {
        await this.#consume();
      } catch (error) {
        this.#options.logger.warn({ err: error }, 'usage consumer interrupted');
      }
      if (!this.#isStopping()) await delay(RETRY_DELAY_MS);
    }
  }

  async close(): Promise<void> {
    this.#stopping = true;
    this.#stop?.();
    await Promise.allSettled(this.#inFlight);
  }

  #isStopping(): boolean {
    return this.#stopping;
  }

  async #consume(): Promise<void> {
    const { client, manager } = await this.#options.connect();
    this.#client = client;
    await ensureUsageStreams(manager, this.#options.streamReplicas);
    await ensureConsumer(manager);
    const consumer = await client.consumers.get(USAGE_STREAM.name, USAGE_STREAM.consumer);
    const messages = await consumer.consume({
      max_messages: 500,
      idle_heartbeat: 2_000,
      abort_on_missing_resource: true,
    });
    this.#stop = () => messages.stop();
    // Closed while this was on its way here.
    if (this.#isStopping()) messages.stop();
    for await (const message of messages) {
      const handled: Promise<void> = this.#handle(message)
        // Neither acknowledged nor refused: NATS brings it again.
        .catch((error: unknown) => this.#options.logger.warn({ err: error }, 'usage event left'))
        .finally(() => this.#inFlight.delete(handled));
      this.#inFlight.add(handled);
    }
  }

  #handle(message: JsMsg): Promise<void> {
    const traceparent = message.headers?.get(TRACE_HEADER);
    return continueTrace(traceparent, 'process usage', { kind: 'consumer' }, (span) =>
      this.#settle(message, span),
    );
  }

  async #settle(message: JsMsg, span: ActiveSpan): Promise<void> {
    const event = parse(message);
    try {
      if (event === undefined) {
        await this.#park(message, 'malformed');
        return;
      }
      span.set({ 'arrakis.request_id': event.budget_reservation_id });
      const result = await this.#options.settle(toSettlement(event));
      span.set({ 'arrakis.outcome': result.outcome });
      if (result.outcome === 'unknown') {
        await this.#park(message, 'unknown_reservation');
        return;
      }
      message.ack();
      this.#options.events.usageEventConsumed(result.outcome);
    } catch (error) {
      span.fail('settlement_failed');
      await this.#retryOrPark(message, error);
    }
  }

  async #retryOrPark(message: JsMsg, error: unknown): Promise<void> {
    const tries = message.info.deliveryCount;
    // An unreachable database is no fault of the message: it waits as long as it takes.
    if (isRefusedByDatabase(error) && tries >= USAGE_STREAM.maxDeliver) {
      await this.#park(message, 'failed').catch(() => message.nak(RETRY_DELAY_MS));
      return;
    }
    this.#options.events.usageEventConsumed('retried');
    this.#options.logger.warn({ err: error, tries }, 'usage event will be retried');
    message.nak(Math.min(30_000, 250 * 2 ** Math.min(tries, 7)));
  }

  async #park(message: JsMsg, reason: string): Promise<void> {
    // Ended here without having been published there, the event would be gone.
    if (this.#client === undefined) throw new Error('not connected to NATS');
    await this.#client.publish(USAGE_STREAM.parkedSubject, message.data, {
      msgID: `${reason}:${String(message.seq)}`,
    });
    message.term(reason);
    this.#options.events.usageEventParked(reason);
  }
}

// Compiled once: interpreting the schema costs sixty times as much.
const usageEvent = Compile(UsageEvent);

function parse(message: JsMsg): UsageEvent | undefined {
  try {
    const body: unknown = message.json();
    return usageEvent.Check(body) ? body : undefined;
  } catch {
    return undefined;
  }
}

function toSettlement(event: UsageEvent): SettlementInput {
  return {
    reservationId: event.budget_reservation_id,
    action: 'settle',
    carrier: event.finality === 'final' ? 'usage_event' : 'journal',
    promptTokens: event.prompt_tokens,
    completionTokens: event.completion_tokens,
    poolUsed: event.pool_used,
    model: event.model,
    personalityId: event.personality_id,
    latencyMs: event.latency_ms,
  };
}

/** A ProblemError says that the ledger couldn't be reached; anything else came from the member. */
function isRefusedByDatabase(error: unknown): boolean {
  return !(error instanceof ProblemError);
}

async function ensureConsumer(manager: JetStreamManager): Promise<void> {
  await manager.consumers.add(USAGE_STREAM.name, {
    durable_name: USAGE_STREAM.consumer,
    ack_policy: AckPolicy.Explicit,
    ack_wait: 30 * SECOND_NS,
    max_ack_pending: MAX_IN_FLIGHT,
    max_deliver: -1,
  });
}
