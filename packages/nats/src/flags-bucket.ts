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
 * @param replicas copies of a new bucket, each on a server of its own
 * @throws when JetStream can't be reached or refuses: also when it has fewer servers than that.
 */
export async function ensureFlagsBucket(manager: JetStreamManager, replicas = 1): Promise<void> {
  // What NATS defines a bucket to be (its ADR 8), so that every client and `nats kv` take it for one.
  await ensureStream(manager, {
    name: FLAGS_BUCKET.stream,
    subjects: [FLAGS_BUCKET.subjects],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    num_replicas: replicas,
    max_msgs_per_subject: 1,
    max_msg_size: FLAGS_BUCKET.maxValueBytes,
    discard: DiscardPolicy.New,
    allow_rollup_hdrs: true,
    allow_direct: true,
    deny_delete: true,
  });
}
