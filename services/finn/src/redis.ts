import { Redis } from 'ioredis';
import { defineReplayCommands } from './features/s2s-auth/replay.store.ts';

/** A caller waits for this; longer and it is told to come back. */
const COMMAND_TIMEOUT_MS = 1_000;
const RECONNECT_MAX_MS = 250;
/** A connection on which an answer is overdue for this long leads nowhere: make a new one. */
const SOCKET_TIMEOUT_MS = 3_000;

/**
 * Gives each command its time, and one look at the socket more: after a stall of our own process the
 * timers run first, and would fail every command whose answer has long been lying there.
 */
class DeadlineRedis extends Redis {
  override sendCommand(...[command, stream]: Parameters<Redis['sendCommand']>): unknown {
    const timer = setTimeout(
      () => setImmediate(() => command.reject(new Error('Command timed out'))),
      COMMAND_TIMEOUT_MS,
    );
    const settled = (): void => clearTimeout(timer);
    command.promise.then(settled, settled);
    return super.sendCommand(command, stream);
  }
}

/**
 * Redis for decisions that must be made now or not at all: no queue while it is away, no second
 * try of a command that may have been executed.
 *
 * @throws Error when the URL can't be right. ioredis would take it for a path, and its errors would
 *   repeat the password.
 */
export function connectRedis(url: string, onError: (error: unknown) => void): Redis {
  if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol)) {
    throw new Error('REDIS_URL must be like redis://:password@host:6379');
  }
  const redis = new DeadlineRedis(url, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectTimeout: COMMAND_TIMEOUT_MS,
    // A failover behind a silent network would otherwise time out every command for as long as
    // TCP hopes, which is a quarter of an hour.
    socketTimeout: SOCKET_TIMEOUT_MS,
    retryStrategy: (attempt) => Math.min(50 * attempt, RECONNECT_MAX_MS),
  });
  redis.on('error', onError);
  defineReplayCommands(redis);
  return redis;
}
