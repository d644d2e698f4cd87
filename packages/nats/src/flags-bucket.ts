import { FLAGS_BUCKET } from '@arrakis/contracts';
import {
  DiscardPolicy,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
} from '@nats-io/jetstream';
import { ensureStream } from './ensure-stream.ts';

/**
 * Creates the key-value bucket of the flags if it is missing. Only who writes flags calls this:
 * a reader that made an empty bucket would hide that nobody has told anything yet.
 *
 * @throws when JetStream can't be reached or refuses.
 */
export async function ensureFlagsBucket(manager: JetStreamManager): Promise<void> {
  // What NATS defines a bucket to be (its ADR 8), so that every client and `nats kv` take it for one.
  await ensureStream(manager, {
    name: FLAGS_BUCKET.stream,
    subjects: [FLAGS_BUCKET.subjects],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    max_msgs_per_subject: 1,
    max_msg_size: FLAGS_BUCKET.maxValueBytes,
    discard: DiscardPolicy.New,
    allow_rollup_hdrs: true,
    allow_direct: true,
    deny_delete: true,
  });
}
