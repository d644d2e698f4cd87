import { USAGE_STREAM } from '@arrakis/contracts';
import { natsOptions } from '@arrakis/nats';
import { jetstream, jetstreamManager, type JsMsg } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { runScript, say } from './lib/entry.ts';
import { optionalSecretEnv, requiredEnv } from './lib/env.ts';

/**
 * Usage events that could not be settled: `list` shows them, `replay` gives them to the workers
 * again (a settlement changes nothing the second time), `discard` deletes them for good.
 */

const FETCH_MS = 2_000;

await runScript('parked', async () => {
  const [command = ''] = process.argv.slice(2);
  if (!['list', 'replay', 'discard'].includes(command)) {
    throw new Error('say list, replay or discard');
  }
  const url = optionalSecretEnv('NATS_URL') ?? requiredEnv('NATS_URL', 'where JetStream is');
  const connection = await connect({ ...natsOptions(url, 'parked'), reconnect: false });
  try {
    await run(command, connection);
  } finally {
    await connection.close();
  }
});

async function run(command: string, connection: NatsConnection): Promise<void> {
  const client = jetstream(connection);
  const manager = await jetstreamManager(connection);
  const { parkedName, subject } = USAGE_STREAM;
  const { messages: total } = (await manager.streams.info(parkedName)).state;
  let done = 0;
  if (total > 0) {
    const consumer = await client.consumers.get(parkedName);
    for await (const message of await consumer.fetch({ max_messages: total, expires: FETCH_MS })) {
      if (command === 'list') say(lineOf(message));
      if (command === 'replay') {
        await client.publish(subject, message.data, { msgID: `replay:${message.seq}` });
      }
      if (command !== 'list') await manager.streams.deleteMessage(parkedName, message.seq);
      done += 1;
      if (done === total) break;
    }
  }
  say(`${command}: ${done} of ${total} parked events`);
}

/** Sequence, when and why it was parked, and the event itself, which holds no secrets. */
function lineOf(message: JsMsg): string {
  const why = message.headers?.get('Nats-Msg-Id').split(':')[0] ?? 'unknown';
  return [message.seq, message.time.toISOString(), why, message.string().slice(0, 2_000)].join(' ');
}
