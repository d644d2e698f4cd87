import { JetStreamApiError, type JetStreamManager, type StreamConfig } from '@nats-io/jetstream';

const STREAM_NOT_FOUND = 10059;
const STREAM_NAME_IN_USE = 10058;

/**
 * Creates a stream that is missing. One that exists stays as it is: an operator may have given it
 * replicas or other limits.
 *
 * @throws when JetStream can't be reached or refuses.
 */
export async function ensureStream(
  manager: JetStreamManager,
  stream: Partial<StreamConfig> & Pick<StreamConfig, 'name'>,
): Promise<void> {
  if (await exists(manager, stream.name)) return;
  try {
    await manager.streams.add(stream);
  } catch (error) {
    // Another process may have been faster.
    if (!isApiError(error, STREAM_NAME_IN_USE)) throw error;
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
