import { USAGE_STREAM } from '@arrakis/contracts';
import {
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  type JetStreamManager,
  type StreamConfig,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';

const SECOND_MS = 1000;
const DUPLICATE_WINDOW_MS = 5 * 60 * SECOND_MS;
const PARKED_MAX_AGE_MS = 30 * 24 * 60 * 60 * SECOND_MS;
const STREAM_NOT_FOUND = 10059;
const STREAM_NAME_IN_USE = 10058;

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
 * @throws when JetStream can't be reached or refuses.
 */
export async function ensureUsageStreams(manager: JetStreamManager): Promise<void> {
  for (const stream of STREAMS) {
    if (await exists(manager, stream.name)) continue;
    try {
      await manager.streams.add(stream);
    } catch (error) {
      // The settlement worker may have been faster.
      if (!isApiError(error, STREAM_NAME_IN_USE)) throw error;
    }
  }
}

async function exists(manager: JetStreamManager, name: string): Promise<boolean> {
  try {
    await manager.streams.info(name);
    return true;
  } catch (error) {
    if (isApiError(error, STREAM_NOT_FOUND)) return false;
    throw error;
  }
}

function isApiError(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}
