import { natsOptions } from '@arrakis/nats';
import type { Logger } from '@arrakis/service-kit';
import { connect, type NatsConnection } from '@nats-io/transport-node';

/** Resolves at the first connection, however long that takes; reconnects for ever after it. */
export async function connectNats(
  url: string,
  name: string,
  logger: Logger,
): Promise<NatsConnection> {
  const connection = await connect({ ...natsOptions(url, name), waitOnFirstConnect: true });
  void logStatus(connection, logger);
  return connection;
}

async function logStatus(connection: NatsConnection, logger: Logger): Promise<void> {
  for await (const status of connection.status()) {
    if (status.type === 'disconnect' || status.type === 'reconnect' || status.type === 'error') {
      logger.warn({ status: status.type }, 'NATS connection changed');
    }
  }
}
