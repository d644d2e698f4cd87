import type { Logger } from '@arrakis/service-kit';
import { connect, type ConnectionOptions, type NatsConnection } from '@nats-io/transport-node';

/**
 * Resolves at the first connection, however long that takes; reconnects for ever after it.
 *
 * @param options of `natsOptions`, made beforehand: a bad URL has to stop the start
 */
export async function connectNats(
  options: ConnectionOptions,
  logger: Logger,
): Promise<NatsConnection> {
  const connection = await connect({ ...options, waitOnFirstConnect: true });
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
