import { FLAGS_BUCKET, FLAG_DEFAULTS, type FlagValues } from '@arrakis/contracts';
import { ensureFlagsBucket } from '@arrakis/nats';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm, type KV } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import {
  readDocument,
  writeDocument,
  type NewStatement,
  type Statement,
} from './document.domain.ts';

const API_TIMEOUT_MS = 2_000;

/** The bucket, open for {@link readFlags} and {@link writeFlags}. */
export type FlagsBucket = KV;

/** What the bucket says; undefined when there is none, or nothing usable in it. */
export interface StoredFlags {
  readonly statement: Statement | undefined;
  /** All flags: what isn't said is what holds by default. */
  readonly flags: FlagValues;
  /** Of the entry, for {@link writeFlags}; 0 without one. */
  readonly sequence: number;
}

/**
 * The bucket for who writes it: created if it is missing.
 *
 * @param replicas copies of a new bucket, each on a server of its own
 * @throws when JetStream can't be reached or refuses.
 */
export async function openFlagsBucket(
  connection: NatsConnection,
  replicas = 1,
): Promise<FlagsBucket> {
  const options = { timeout: API_TIMEOUT_MS, checkAPI: false };
  await ensureFlagsBucket(await jetstreamManager(connection, options), replicas);
  return new Kvm(jetstream(connection, options)).open(FLAGS_BUCKET.name);
}

/** @throws when JetStream can't be reached. */
export async function readFlags(bucket: FlagsBucket): Promise<StoredFlags> {
  const entry = await bucket.get(FLAGS_BUCKET.key);
  const statement = entry?.operation === 'PUT' ? readDocument(entry.string()) : undefined;
  return {
    statement,
    flags: { ...FLAG_DEFAULTS, ...statement?.values },
    sequence: entry?.revision ?? 0,
  };
}

/**
 * Writes the whole document; every service has it within a moment.
 *
 * @param expected sequence of what was read: then nothing is written if another writer came first
 * @throws when JetStream can't be reached, or another writer came first.
 */
export async function writeFlags(
  bucket: FlagsBucket,
  said: NewStatement,
  expected?: number,
): Promise<void> {
  const options = expected === undefined ? {} : { previousSeq: expected };
  await bucket.put(FLAGS_BUCKET.key, writeDocument(said), options);
}
