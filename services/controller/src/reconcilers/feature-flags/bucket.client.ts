import { natsOptions } from '@arrakis/nats';
import {
  openFlagsBucket,
  readFlags,
  writeFlags,
  type NewStatement,
  type StoredFlags,
} from '@arrakis/flags';
import type { Secret } from '@arrakis/service-kit';
import type { KV } from '@nats-io/kv';
import { connect, type NatsConnection } from '@nats-io/transport-node';

/**
 * For a read or a write, connecting included: a NATS that swallows everything must not keep the
 * other way of telling waiting. Less than a leader still trusts itself before another may lead.
 */
const DEADLINE_MS = 3_000;

interface Session {
  readonly connection: Promise<NatsConnection>;
  readonly bucket: Promise<KV>;
}

/** The bucket that every service watches; connected when it is first needed, and again after a loss. */
export class FlagsBucket {
  readonly #url: Secret;
  readonly #replicas: number;
  #session: Session | undefined;

  constructor(url: Secret, replicas: number) {
    this.#url = url;
    this.#replicas = replicas;
  }

  /** @throws when NATS did not answer within 3 s (6 s if it did before), or refused. */
  async read(): Promise<StoredFlags> {
    const isOld = this.#session !== undefined;
    try {
      return await this.#within(readFlags);
    } catch (error) {
      // A connection from before a restart of NATS tells nothing about whether it is there now.
      if (!isOld) throw error;
      return this.#within(readFlags);
    }
  }

  /** @throws when another writer came first, NATS did not answer within 3 s, or refused. */
  async write(said: NewStatement, expected: number): Promise<void> {
    await this.#within((bucket) => writeFlags(bucket, said, expected));
  }

  async close(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    await withDeadline(drop(session), DEADLINE_MS).catch(() => undefined);
  }

  async #within<T>(work: (bucket: KV) => Promise<T>): Promise<T> {
    this.#session ??= open(this.#url, this.#replicas);
    const session = this.#session;
    try {
      return await withDeadline(session.bucket.then(work), DEADLINE_MS);
    } catch (error) {
      // What the client still keeps to send must not arrive when it reconnects: by then the flags
      // may be others, and this process may not lead any more.
      this.#session = undefined;
      void drop(session);
      throw error;
    }
  }
}

function open(url: Secret, replicas: number): Session {
  const connection = connect(natsOptions(url.reveal(), 'controller'));
  return { connection, bucket: connection.then((open) => openFlagsBucket(open, replicas)) };
}

async function drop({ connection }: Session): Promise<void> {
  await connection.then((open) => open.close()).catch(() => undefined);
}

async function withDeadline<T>(work: Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`NATS did not answer within ${deadlineMs / 1000} s`));
    }, deadlineMs);
  });
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
