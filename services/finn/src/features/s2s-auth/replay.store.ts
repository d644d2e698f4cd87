import type { Redis, Result } from 'ioredis';

declare module 'ioredis' {
  interface RedisCommander<Context> {
    finnConsumeOnce(
      jtiKey: string,
      reservationKey: string,
      owner: string,
      jtiTtlSeconds: number,
      reservationTtlSeconds: number,
    ): Result<ConsumeReply, Context>;
    finnReleaseReservation(reservationKey: string, owner: string): Result<number, Context>;
  }
}

type ConsumeReply = 'ok' | 'jti' | 'reservation';

/** Longer than any moment at which a token is accepted: its life, and the skew at both ends. */
const JTI_TTL_SECONDS = 180;
const RESERVATION_TTL_SECONDS = 24 * 60 * 60;

/** Both or neither: a script runs alone. The reservation notes who took it. */
const CONSUME_ONCE = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 'jti' end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'reservation' end
redis.call('SET', KEYS[1], '1', 'EX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[3])
return 'ok'
`;
/** Only who took the reservation gives it back. */
const RELEASE_RESERVATION = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`;

/** Teaches a connection the two scripts; they then cost one EVALSHA each. */
export function defineReplayCommands(redis: Redis): void {
  redis.defineCommand('finnConsumeOnce', { numberOfKeys: 2, lua: CONSUME_ONCE });
  redis.defineCommand('finnReleaseReservation', { numberOfKeys: 1, lua: RELEASE_RESERVATION });
}

/**
 * Uses up a token and its reservation, for every replica, in one round trip.
 *
 * @param owner names this call: the token doesn't, because it may have been presented twice
 * @throws when Redis doesn't answer in time. Whether they are used up is then unknown: refuse.
 */
export async function consumeOnce(
  redis: Redis,
  jti: string,
  reservationId: string,
  owner: string,
): Promise<ConsumeReply> {
  return redis.finnConsumeOnce(
    jtiKey(jti),
    reservationKey(reservationId),
    owner,
    JTI_TTL_SECONDS,
    RESERVATION_TTL_SECONDS,
  );
}

/** Gives a reservation back, so that a retry with a fresh token may run under the same hold. */
export async function releaseReservation(
  redis: Redis,
  reservationId: string,
  owner: string,
): Promise<void> {
  await redis.finnReleaseReservation(reservationKey(reservationId), owner);
}

// One hash tag: the keys of a script must share a slot in a Redis cluster.
function jtiKey(jti: string): string {
  return `{finn:s2s}:jti:${jti}`;
}

function reservationKey(reservationId: string): string {
  return `{finn:s2s}:reservation:${reservationId}`;
}
