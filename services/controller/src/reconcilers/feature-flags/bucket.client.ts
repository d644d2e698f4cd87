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

/** The bucket that every service watches; connected when it is first needed, and again after a loss. */
export class FlagsBucket {
  readonly #url: Secret;
  #connection: NatsConnection | undefined;
  #bucket: KV | undefined;

  constructor(url: Secret) {
    this.#url = url;
  }

  async read(): Promise<StoredFlags> {
    return readFlags(await this.#open());
  }

  /** @throws when another writer came first. */
  async write(said: NewStatement, expected: number): Promise<void> {
    await writeFlags(await this.#open(), said, expected);
  }

  async close(): Promise<void> {
    await this.#connection?.close();
  }

  async #open(): Promise<KV> {
    if (this.#connection === undefined || this.#connection.isClosed()) {
      this.#bucket = undefined;
      this.#connection = await connect(natsOptions(this.#url.reveal(), 'controller'));
    }
    this.#bucket ??= await openFlagsBucket(this.#connection);
    return this.#bucket;
  }
}
