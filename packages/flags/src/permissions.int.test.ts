import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FLAG_DEFAULTS } from '@arrakis/contracts';
import { natsOptions } from '@arrakis/nats';
import {
  locateNats,
  providedBackends,
  startBackend,
  waitFor,
  type BackendProcess,
} from '@arrakis/testkit';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createInstance } from './test-support/world.ts';
import { openFlagsBucket, readFlags, writeFlags } from './write-flags.ts';

/** What an account of NATS must be allowed; docs/architecture/flags.md and the chart have the same. */
const READER = [
  '$JS.API.STREAM.MSG.GET.KV_platform-flags',
  '$JS.API.CONSUMER.CREATE.KV_platform-flags.>',
  '$JS.API.CONSUMER.DELETE.KV_platform-flags.>',
  '$JS.FC.KV_platform-flags.>',
];
const WRITER = [
  '$JS.API.STREAM.INFO.KV_platform-flags',
  '$JS.API.STREAM.CREATE.KV_platform-flags',
  '$JS.API.STREAM.MSG.GET.KV_platform-flags',
  '$KV.platform-flags.flags',
];

let dir: string;
let server: BackendProcess;

beforeAll(async () => {
  const { runDir } = await providedBackends();
  dir = await mkdtemp(join(runDir, 'flags-permissions-'));
  const command = await locateNats();
  server = await startBackend({
    name: 'NATS',
    dir,
    pidFile: join(dir, 'nats.pid'),
    logFile: join(dir, 'nats.log'),
    ports: [{ port: undefined, setting: '' }],
    readyTimeoutMs: 20_000,
    prepare: async ([port = 0]) => {
      await writeFile(join(dir, 'nats.conf'), configuration(port), { mode: 0o600 });
      return { command, args: ['-c', join(dir, 'nats.conf')], env: {} };
    },
    probe: async ([port = 0]) => {
      const { protocol } = await connectAs('writer', port);
      await protocol.close();
    },
  });
});
afterAll(async () => {
  await server.kill();
  await rm(dir, { recursive: true, force: true });
});

function configuration(port: number): string {
  const user = (name: string, publish: readonly string[]): string =>
    `{user: ${name}, password: x, permissions: {publish: ${JSON.stringify(publish)}, subscribe: "_INBOX.>"}}`;
  return `host: 127.0.0.1
port: ${port}
jetstream { store_dir: ${JSON.stringify(dir)} }
authorization { users: [${user('reader', READER)}, ${user('writer', WRITER)}] }
`;
}

const urlOf = (user: string, port = server.ports[0] ?? 0): string =>
  `nats://${user}:x@127.0.0.1:${port}`;

async function connectAs(user: string, port?: number) {
  const refused: string[] = [];
  const protocol = await connect(natsOptions(urlOf(user, port), user));
  void (async () => {
    for await (const status of protocol.status()) {
      if (status.type === 'error') refused.push(status.error.message);
    }
  })();
  return { protocol, refused };
}

describe('the permissions of NATS', () => {
  it('that readers and writers need are these', async () => {
    const { protocol, refused } = await connectAs('writer');
    const bucket = await openFlagsBucket(protocol);
    const say = async (value: boolean): Promise<void> => {
      const flags = { ...FLAG_DEFAULTS, FEATURE_API_KEYS_ENABLED: value };
      const { sequence } = await readFlags(bucket);
      await writeFlags(
        bucket,
        { flags, revision: String(value), changedAtMs: Date.now() },
        sequence,
      );
    };
    await say(false);
    const reader = createInstance({ natsUrl: urlOf('reader') });
    await reader.flags.start();
    try {
      expect(reader.flags.snapshot()).toMatchObject({ kv: 'live', source: 'kv' });
      await say(true);
      await waitFor(() => reader.flags.isEnabled('FEATURE_API_KEYS_ENABLED'));
      expect(reader.log.join()).not.toContain('cannot');
    } finally {
      await reader.flags.close();
    }
    expect(refused).toEqual([]);
    await protocol.close();
  });

  it('keep a reader from writing', async () => {
    const { protocol } = await connectAs('reader');
    await expect(openFlagsBucket(protocol)).rejects.toThrow(/[Pp]ermission/);
    await protocol.close();
  });
});
