import { USAGE_STREAM } from '@arrakis/contracts';
import {
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
  type StreamConfig,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { ensureStream } from './ensure-stream.ts';

const SECOND_MS = 1000;
const DUPLICATE_WINDOW_MS = 5 * 60 * SECOND_MS;
const PARKED_MAX_AGE_MS = 30 * 24 * 60 * 60 * SECOND_MS;

type NewStream = Pick<
  StreamConfig,
  'name' | 'subjects' | 'retention' | 'storage' | 'max_age' | 'duplicate_window'
>;

const STREAMS: readonly NewStream[] = [
  {
    name: USAGE_STREAM.name,
    subjects: [USAGE_STREAM.subject],
    retention: RetentionPolicy.Workqueue,
    storage: StorageType.File,
    max_age: nanos(USAGE_STREAM.maxAgeSeconds * SECOND_MS),
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
  },
  {
    name: USAGE_STREAM.parkedName,
    subjects: [USAGE_STREAM.parkedSubject],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    max_age: nanos(PARKED_MAX_AGE_MS),
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
  },
];

/**
 * Creates the streams that are missing. One that exists stays as it is: an operator may have
 * given it replicas or other limits.
 *
 * @param replicas copies of a new stream, each on a server of its own
 * @throws when JetStream can't be reached or refuses: also when it has fewer servers than that.
 */
export async function ensureUsageStreams(manager: JetStreamManager, replicas = 1): Promise<void> {
  for (const stream of STREAMS) await ensureStream(manager, { ...stream, num_replicas: replicas });
}
