import type { ConnectionOptions } from '@nats-io/transport-node';

const CONNECT_TIMEOUT_MS = 2_000;
const RETRY_MS = 500;
const PING_INTERVAL_MS = 10_000;

/**
 * Options that reconnect for ever, from a URL that may hold credentials
 * (`nats://user:password@host:4222`, `tls://…`).
 *
 * @throws Error when the URL can't be right; no error repeats it, because it may hold a password.
 */
export function natsOptions(url: string, name: string): ConnectionOptions {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^(?:nats|tls):$/.test(parsed.protocol)) {
    throw new Error('the NATS URL must be like nats://user:password@host:4222');
  }
  const { protocol, host, username, password } = parsed;
  const user = decodeURIComponent(username);
  const pass = decodeURIComponent(password);
  return {
    servers: host,
    ...(protocol === 'tls:' ? { tls: {} } : {}),
    ...(user === '' ? {} : pass === '' ? { token: user } : { user, pass }),
    name,
    timeout: CONNECT_TIMEOUT_MS,
    reconnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RETRY_MS,
    // A wrong password may be mended at the server: keep trying.
    ignoreAuthErrorAbort: true,
    pingInterval: PING_INTERVAL_MS,
  };
}
