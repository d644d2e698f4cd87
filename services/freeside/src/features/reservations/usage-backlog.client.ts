import { USAGE_STREAM } from '@arrakis/contracts';
import type { JetStreamManager } from '@nats-io/jetstream';

/** How far the settlement consumer is behind, over all its replicas; numbers of events. */
export interface UsageBacklog {
  /** Not delivered to any worker yet. */
  readonly pending: number;
  /** Delivered and not acknowledged: on their way to the database, or waiting for a retry. */
  readonly unacknowledged: number;
  /** Of those, delivered more than once. */
  readonly redelivered: number;
  /** At rest in the parked stream until somebody looks. */
  readonly parked: number;
}

/** @throws when JetStream can't be reached, or the consumer isn't there. */
export async function readUsageBacklog(manager: JetStreamManager): Promise<UsageBacklog> {
  const { name, consumer, parkedName } = USAGE_STREAM;
  const [settlement, parked] = await Promise.all([
    manager.consumers.info(name, consumer),
    manager.streams.info(parkedName),
  ]);
  return {
    pending: settlement.num_pending,
    unacknowledged: settlement.num_ack_pending,
    redelivered: settlement.num_redelivered,
    parked: parked.state.messages,
  };
}
