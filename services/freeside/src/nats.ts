import type { Logger } from '@arrakis/service-kit';
import { connect, type NatsConnection } from '@nats-io/transport-node';

/**
 * Connects in the background and reconnects for ever, so that a service starts and lives without
 * NATS. Credentials come with the URL (`nats://user:password@host:port`).
 */
export async function connectNats(
  url: string,
  name: string,
  logger: Logger,
): Promise<NatsConnection> {
  const { protocol, host, username, password } = new URL(url);
  const connection = await connect({
    servers: `${protocol}//${host}`,
    name,
    ...(username === '' ? {} : { user: decodeURIComponent(username) }),
    ...(password === '' ? {} : { pass: decodeURIComponent(password) }),
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 500,
    reconnectJitter: 250,
    pingInterval: 10_000,
  });
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
