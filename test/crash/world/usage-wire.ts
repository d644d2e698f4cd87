import { USAGE_STREAM, type UsageEvent } from '@arrakis/contracts';
import { natsOptions } from '@arrakis/nats';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, headers, type Msg } from '@nats-io/transport-node';
import type { CapturedUsage, UsageWire } from '../types.ts';

/** Marks what this run published itself; the consumer reads no headers. */
const REPLAY_HEADER = 'Crash-Replay';
const MESSAGE_ID_HEADER = 'Nats-Msg-Id';
const API_TIMEOUT_MS = 5_000;

export interface RunningUsageWire extends UsageWire {
  close(): Promise<void>;
}

/**
 * Listens on the subject beside the stream: a work queue has one consumer only, but whoever
 * subscribes sees what is published, also what the stream then refuses as a duplicate.
 */
export async function openUsageWire(natsUrl: string): Promise<RunningUsageWire> {
  const connection = await connect({
    ...natsOptions(natsUrl, 'crash-test'),
    waitOnFirstConnect: true,
    // A run restarts NATS and wants to be back at once.
    reconnectTimeWait: 50,
  });
  const captured: CapturedUsage[] = [];
  connection.subscribe(USAGE_STREAM.subject, {
    callback: (error, message) => {
      if (error === null) captured.push(capture(message));
    },
  });
  const streamMessages = async (name: string): Promise<number> => {
    const manager = await jetstreamManager(connection, {
      timeout: API_TIMEOUT_MS,
      checkAPI: false,
    });
    return (await manager.streams.info(name)).state.messages;
  };
  return {
    captured: () => captured,
    async publish(event, options = {}) {
      const data = event instanceof Uint8Array ? event : JSON.stringify(event);
      const marks = headers();
      marks.set(REPLAY_HEADER, '1');
      if (options.messageId !== undefined) marks.set(MESSAGE_ID_HEADER, options.messageId);
      await jetstream(connection).publish(USAGE_STREAM.subject, data, {
        headers: marks,
        timeout: API_TIMEOUT_MS,
      });
    },
    pending: () => streamMessages(USAGE_STREAM.name),
    parked: () => streamMessages(USAGE_STREAM.parkedName),
    close: () => connection.close(),
  };
}

function capture(message: Msg): CapturedUsage {
  return {
    atMs: Date.now(),
    event: message.json<UsageEvent>(),
    raw: message.data,
    replayed: message.headers?.has(REPLAY_HEADER) === true,
  };
}
