import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FLAGS_BUCKET, FLAGS_TOLD_FILE, FLAG_DEFAULTS, type FlagName } from '@arrakis/contracts';
import { natsOptions } from '@arrakis/nats';
import { findFreePort, startTcpRelay, waitFor } from '@arrakis/testkit';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeDocument } from './document.domain.ts';
import {
  createInstance,
  say,
  saySomething,
  startNatsWorld,
  type Instance,
  type NatsWorld,
} from './test-support/world.ts';

const API_KEYS = 'FEATURE_API_KEYS_ENABLED';
const WEB_CHAT = 'FEATURE_WEB_CHAT_ENABLED';

let dir: string;
const instances: Instance[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'flags-'));
});
afterEach(async () => {
  await Promise.all(instances.splice(0).map(({ flags }) => flags.close()));
  await rm(dir, { recursive: true, force: true });
});

async function start(options: Parameters<typeof createInstance>[0]): Promise<Instance> {
  const instance = createInstance(options);
  instances.push(instance);
  await instance.flags.start();
  return instance;
}

const becomes = (instance: Instance, name: FlagName, value: boolean): Promise<true> =>
  waitFor(() => instance.flags.isEnabled(name) === value, {
    what: `${name} to become ${value}: ${JSON.stringify(instance.flags.snapshot())}`,
  });
const kvBecomes = (instance: Instance, state: string): Promise<true> =>
  waitFor(() => instance.flags.snapshot().kv === state, { what: `the bucket to be ${state}` });

/** As a mounted ConfigMap would change, `secondsFromNow` later. */
async function mount(name: string, text: string, secondsFromNow = 0): Promise<void> {
  const path = join(dir, name);
  await writeFile(path, text);
  const time = Date.now() / 1000 + secondsFromNow;
  await utimes(path, time, time);
}

/** The document beside the flags, as the controller writes it; returns its revision. */
async function tell(isOn: boolean, secondsFromNow: number): Promise<string> {
  const changedAtMs = Date.now() + secondsFromNow * 1000;
  const revision = `told-${secondsFromNow}`;
  const flags = { ...FLAG_DEFAULTS, [API_KEYS]: isOn };
  const text = writeDocument({ flags, revision, changedAtMs });
  await writeFile(join(dir, FLAGS_TOLD_FILE), text);
  return revision;
}

describe('flags with NATS', () => {
  let nats: NatsWorld;
  beforeAll(async () => {
    nats = await startNatsWorld();
  });
  afterAll(() => nats.drop());
  const destroyBucket = async (): Promise<void> => {
    const connection = await connect(natsOptions(nats.url, 'vandal'));
    await (await jetstreamManager(connection)).streams.delete(FLAGS_BUCKET.stream);
    await connection.close();
  };

  it('hold their defaults while nobody told anything, and no reader makes the bucket', async () => {
    const one = await start({ natsUrl: nats.url });
    expect(one.flags.snapshot()).toMatchObject({ source: 'default', revision: null, kv: 'empty' });
    expect(one.flags.isEnabled(API_KEYS)).toBe(true);
    const connection = await connect(natsOptions(nats.url, 'test'));
    const manager = await jetstreamManager(connection);
    await expect(manager.streams.info(FLAGS_BUCKET.stream)).rejects.toThrow('not found');
    await connection.close();
    await say(nats.url, API_KEYS, false);
    await becomes(one, API_KEYS, false);
  });

  it('flip at every instance, back and forth, and tell how fast', async () => {
    await say(nats.url, API_KEYS, true);
    const [one, two] = await Promise.all([
      start({ natsUrl: nats.url }),
      start({ natsUrl: nats.url }),
    ]);
    const heard: string[] = [];
    one.flags.onChange((changed) => heard.push(...changed));
    for (const value of [false, true, false]) {
      const revision = await say(nats.url, API_KEYS, value);
      await Promise.all([becomes(one, API_KEYS, value), becomes(two, API_KEYS, value)]);
      expect(two.flags.snapshot()).toMatchObject({ source: 'kv', revision, kv: 'live' });
    }
    expect(heard).toEqual([API_KEYS, API_KEYS, API_KEYS]);
    for (const instance of [one, two]) {
      const metric = instance.metric;
      expect(await metric('flag_effect_seconds_count', { source: 'kv' })).toBe(3);
      expect(await metric('flag_effect_seconds_sum', { source: 'kv' })).toBeLessThan(3 * 2);
      expect(await metric('flag_enabled', { flag: API_KEYS })).toBe(0);
      expect(await metric('flag_enabled', { flag: WEB_CHAT })).toBe(1);
      expect(await metric('flags_source', { source: 'kv' })).toBe(1);
      expect(await metric('flags_source', { source: 'default' })).toBe(0);
    }
  });

  it('are known before the start is over, so that what is off stays off across a restart', async () => {
    await say(nats.url, API_KEYS, false);
    const one = await start({ natsUrl: nats.url });
    expect(one.flags.isEnabled(API_KEYS)).toBe(false);
    // Said before it began: no measure of how fast things travel.
    expect(await one.metric('flag_effect_seconds_count', { source: 'kv' })).toBeUndefined();
  });

  it('never measure a negative time when the writer’s clock is ahead', async () => {
    const one = await start({ natsUrl: nats.url });
    await say(nats.url, API_KEYS, !one.flags.isEnabled(API_KEYS), Date.now() + 60_000);
    await waitFor(async () => (await one.metric('flag_effect_seconds_count')) === 1);
    expect(await one.metric('flag_effect_seconds_sum')).toBe(0);
  });

  it('keep the last good value when the bucket holds nonsense', async () => {
    await say(nats.url, API_KEYS, false);
    const one = await start({ natsUrl: nats.url });
    await saySomething(nats.url, '{"version":1,"flags":{"FEATURE_API_KEYS_ENABLED":"maybe"}}');
    await waitFor(async () => (await one.metric('flags_refused_total', { source: 'kv' })) === 1);
    expect(one.flags.isEnabled(API_KEYS)).toBe(false);
    await say(nats.url, API_KEYS, true);
    await becomes(one, API_KEYS, true);
  });

  it('follow a bucket that was deleted and made anew, where the counting starts over', async () => {
    for (const value of [true, false, true, false]) await say(nats.url, API_KEYS, value);
    const one = await start({ natsUrl: nats.url });
    await destroyBucket();
    // Made again between two looks, perhaps: the watch of the client would wait for number five.
    await say(nats.url, API_KEYS, true);
    await becomes(one, API_KEYS, true);
    await say(nats.url, API_KEYS, false);
    await becomes(one, API_KEYS, false);
  });

  it('keep the last known value when the bucket is gone', async () => {
    await say(nats.url, API_KEYS, false);
    const one = await start({ natsUrl: nats.url });
    await destroyBucket();
    await kvBecomes(one, 'empty');
    expect(one.flags.isEnabled(API_KEYS)).toBe(false);
  });
});

describe('flags when NATS dies', () => {
  let nats: NatsWorld;
  beforeEach(async () => {
    nats = await startNatsWorld();
  });
  afterEach(() => nats.drop());

  it('keep the last known value, and follow again when it is back with its store', async () => {
    await say(nats.url, API_KEYS, false);
    const [one, two] = await Promise.all([
      start({ natsUrl: nats.url }),
      start({ natsUrl: nats.url }),
    ]);
    expect(await one.metric('flags_bucket_state', { state: 'live' })).toBe(1);
    await nats.kill();
    await Promise.all([kvBecomes(one, 'away'), kvBecomes(two, 'away')]);
    expect(await one.metric('flags_bucket_state', { state: 'away' })).toBe(1);
    expect(await one.metric('flags_bucket_state', { state: 'live' })).toBe(0);
    expect(one.flags.isEnabled(API_KEYS)).toBe(false);
    await nats.restart();
    await Promise.all([kvBecomes(one, 'live'), kvBecomes(two, 'live')]);
    expect(two.flags.isEnabled(API_KEYS)).toBe(false);
    await say(nats.url, API_KEYS, true);
    await Promise.all([becomes(one, API_KEYS, true), becomes(two, API_KEYS, true)]);
  });

  it('keep the last known value when it is back without its store, until a writer says more', async () => {
    for (const value of [true, true, false]) await say(nats.url, API_KEYS, value);
    const one = await start({ natsUrl: nats.url });
    await nats.kill();
    await nats.loseStore();
    await nats.restart();
    await kvBecomes(one, 'empty');
    expect(one.flags.isEnabled(API_KEYS)).toBe(false);
    expect(one.flags.snapshot().source).toBe('kv');
    await say(nats.url, API_KEYS, true);
    await becomes(one, API_KEYS, true);
    await say(nats.url, API_KEYS, false);
    await becomes(one, API_KEYS, false);
  });

  it('fall back to files that changed since, and to no older ones', async () => {
    await mount(API_KEYS, 'false', -60);
    await say(nats.url, API_KEYS, true);
    const one = await start({ natsUrl: nats.url, dir });
    await nats.kill();
    await kvBecomes(one, 'away');
    expect(one.flags.snapshot()).toMatchObject({ source: 'kv' });
    expect(one.flags.isEnabled(API_KEYS)).toBe(true);
    await mount(API_KEYS, 'false', 1);
    await becomes(one, API_KEYS, false);
    expect(one.flags.snapshot()).toMatchObject({ source: 'file', revision: null });
    // Back with what it said before: yesterday's news.
    await nats.restart();
    await kvBecomes(one, 'live');
    expect(one.flags.isEnabled(API_KEYS)).toBe(false);
    const revision = await say(nats.url, WEB_CHAT, false);
    await becomes(one, API_KEYS, true);
    expect(one.flags.snapshot()).toMatchObject({ source: 'kv', revision });
  });

  it('follow files that say what they said before, by the document beside them', async () => {
    // A kubelet that came round last when the flag was off, and missed that it was on.
    await mount(API_KEYS, 'false', -60);
    await tell(false, -60);
    await say(nats.url, API_KEYS, true);
    const one = await start({ natsUrl: nats.url, dir });
    await nats.kill();
    await kvBecomes(one, 'away');
    expect(one.flags.isEnabled(API_KEYS)).toBe(true);
    const revision = await tell(false, 1);
    await becomes(one, API_KEYS, false);
    expect(one.flags.snapshot()).toMatchObject({ source: 'file', revision });
  });

  it('go on by what they heard last when files are written late that say older things', async () => {
    await say(nats.url, API_KEYS, true);
    const one = await start({ natsUrl: nats.url, dir });
    await nats.kill();
    await kvBecomes(one, 'away');
    await tell(false, -60);
    await mount(API_KEYS, 'false', 5);
    // What has nothing to do with it shows that the directory was looked at since.
    await mount(WEB_CHAT, 'maybe');
    await waitFor(async () => (await one.metric('flags_refused_total', { source: 'file' })) === 1);
    expect(one.flags.isEnabled(API_KEYS)).toBe(true);
  });

  it('do not wait long on a connection that leads nowhere', async () => {
    const { port, username, password } = new URL(nats.url);
    const relay = await startTcpRelay({ targetPort: Number(port) });
    try {
      await say(nats.url, API_KEYS, false);
      const one = await start({
        natsUrl: `nats://${username}:${password}@127.0.0.1:${relay.port}`,
      });
      await kvBecomes(one, 'live');
      relay.strand();
      await say(nats.url, API_KEYS, true);
      // The client alone would take 20 to 30 s.
      await waitFor(() => one.flags.isEnabled(API_KEYS), { timeoutMs: 15_000 });
    } finally {
      await relay.close();
    }
  });

  it('never hold up a start, and are followed once it is there', async () => {
    await say(nats.url, API_KEYS, false);
    await nats.kill();
    const one = await start({ natsUrl: nats.url });
    expect(one.flags.snapshot()).toMatchObject({ source: 'default', kv: 'away' });
    expect(one.flags.isEnabled(API_KEYS)).toBe(true);
    await nats.restart();
    await becomes(one, API_KEYS, false);
  });
});

describe('flags from files', () => {
  it('hold from the start, change within a moment, and stay when the files vanish', async () => {
    await mount(API_KEYS, 'false', -5);
    const one = await start({ dir });
    expect(one.flags.isEnabled(API_KEYS)).toBe(false);
    expect(one.flags.snapshot()).toMatchObject({ source: 'file', kv: null });
    await mount(API_KEYS, 'true', 1);
    await becomes(one, API_KEYS, true);
    expect(await one.metric('flag_effect_seconds_count', { source: 'file' })).toBe(1);
    await mount(API_KEYS, 'false', 2);
    await becomes(one, API_KEYS, false);
    await rm(join(dir, API_KEYS));
    // A neighbour that changes later shows that the directory was looked at again since.
    await mount(WEB_CHAT, 'false', 3);
    await becomes(one, WEB_CHAT, false);
    expect(one.flags.isEnabled(API_KEYS)).toBe(false);
  });

  it('are followed through the links of a mounted ConfigMap, which change as a whole', async () => {
    const publish = async (version: string, text: string): Promise<void> => {
      await mkdir(join(dir, version));
      await writeFile(join(dir, version, API_KEYS), text);
      await symlink(version, join(dir, '..data_tmp'));
      await rename(join(dir, '..data_tmp'), join(dir, '..data'));
    };
    await publish('..v1', 'true');
    await symlink(join('..data', API_KEYS), join(dir, API_KEYS));
    const one = await start({ dir });
    expect(one.flags.snapshot().source).toBe('file');
    await publish('..v2', 'false');
    await rm(join(dir, '..v1'), { recursive: true });
    await becomes(one, API_KEYS, false);
  });

  it.each(['maybe', 'True', 'false\n', '', 'x'.repeat(100_000)])(
    'that are bad keep the last good value and are told once (case %#)',
    async (text) => {
      await mount(API_KEYS, 'false');
      const one = await start({ dir });
      await mount(API_KEYS, text, 1);
      await waitFor(
        async () => (await one.metric('flags_refused_total', { source: 'file' })) === 1,
      );
      // A neighbour that changes later shows that the directory was looked at again since.
      await mount(WEB_CHAT, 'false', 2);
      await becomes(one, WEB_CHAT, false);
      expect(one.flags.isEnabled(API_KEYS)).toBe(false);
      expect(await one.metric('flags_refused_total', { source: 'file' })).toBe(1);
      const told = one.log.filter((line) => line.includes('bad values'));
      expect(told).toHaveLength(1);
      expect(told[0]).toContain(API_KEYS);
    },
  );

  it('are waited for no longer than the deadline when NATS accepts and says nothing', async () => {
    await mount(API_KEYS, 'false');
    const silent: Server = createServer(() => undefined);
    const port = await findFreePort();
    await new Promise<void>((resolve) => silent.listen(port, '127.0.0.1', resolve));
    try {
      const one = await start({ natsUrl: `nats://127.0.0.1:${port}`, dir });
      expect(one.flags.isEnabled(API_KEYS)).toBe(false);
    } finally {
      silent.close();
    }
  });

  it('need no directory to begin with', async () => {
    const one = await start({ dir: join(dir, 'none') });
    expect(one.flags.snapshot()).toMatchObject({ source: 'default', kv: null });
    expect(one.log.join()).toContain('no usable flags');
  });
});
