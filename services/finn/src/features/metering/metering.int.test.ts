import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { USAGE_STREAM, type UsageEvent } from '@arrakis/contracts';
import { createRegistry, uuidv7 } from '@arrakis/service-kit';
import { startNats, waitFor, type RunningNats } from '@arrakis/testkit';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { meterStart } from './test-support/meter-start.ts';
import { createMetering, type MeteringService } from './metering.service.ts';

const CHILD = fileURLToPath(new URL('./test-support/metering-child.ts', import.meta.url));
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

let nats: RunningNats;
let natsDir: string;
let spoolDir: string;
let registry: Registry;
let services: MeteringService[];

beforeEach(async () => {
  natsDir = await mkdtemp(join(tmpdir(), 'nats-'));
  nats = await startNats({ storeDir: natsDir });
  spoolDir = await mkdtemp(join(tmpdir(), 'metering-'));
  services = [];
});
afterEach(async () => {
  for (const service of services) await service.close();
  await nats.kill();
  for (const dir of [spoolDir, natsDir]) await rm(dir, { recursive: true, force: true });
});

/** On the same port and with the same streams, after a `kill()`. */
async function restartNats(): Promise<void> {
  const { port, monitorPort } = nats;
  nats = await startNats({ storeDir: natsDir, port, monitorPort });
}

function start(natsUrl = nats.url): MeteringService {
  registry = createRegistry('finn');
  const service = createMetering({
    spoolDir,
    spoolMaxBytes: 64 * 1024 * 1024,
    natsUrl,
    clientName: 'finn-test',
    registry,
    log: quiet,
    now: () => new Date(),
  });
  services.push(service);
  return service;
}

/** Meters one whole answer and returns its reservation id. */
function meterOne(service: MeteringService, completionTokens = 3): string {
  const reservationId = uuidv7();
  const meter = service.start(meterStart({ reservationId }));
  meter.progress(completionTokens);
  meter.finish({ promptTokens: 12, completionTokens, latencyMs: 10 });
  return reservationId;
}

async function withManager<T>(
  server: RunningNats,
  use: (manager: JetStreamManager) => Promise<T>,
): Promise<T> {
  const url = new URL(server.url);
  const connection = await connect({
    servers: url.host,
    user: url.username,
    pass: url.password,
  });
  try {
    return await use(await jetstreamManager(connection));
  } finally {
    await connection.close();
  }
}

/** Everything in the usage stream, in order, left there. */
function stored(server: RunningNats): Promise<UsageEvent[]> {
  return withManager(server, async (manager) => {
    const { state } = await manager.streams.info(USAGE_STREAM.name);
    const events: UsageEvent[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq += 1) {
      const message = await manager.streams.getMessage(USAGE_STREAM.name, { seq });
      if (message !== null) events.push(message.json());
    }
    return events;
  });
}

const storedIds = async (server: RunningNats): Promise<string[]> =>
  (await stored(server)).map((event) => event.budget_reservation_id);

async function metric(name: string, labels: Record<string, string> = {}): Promise<number> {
  const found = await registry.getSingleMetric(name)?.get();
  const wanted = Object.entries(labels);
  const value = found?.values.find((each) =>
    wanted.every(([key, text]) => (each.labels as Record<string, unknown>)[key] === text),
  );
  return value?.value ?? 0;
}

describe('with NATS at hand', () => {
  test('an answer’s event is published once, under its reservation id', async () => {
    const service = start();
    await waitFor(() => service.connected);
    const id = meterOne(service, 5);
    await waitFor(() => service.pending === 0);
    expect(await stored(nats)).toEqual([
      expect.objectContaining({
        budget_reservation_id: id,
        completion_tokens: 5,
        prompt_tokens: 12,
        tokens_used: 17,
        finality: 'final',
      }),
    ]);
    expect(await metric('finn_usage_published_total', { outcome: 'acked' })).toBe(1);
    expect(await metric('finn_usage_pending')).toBe(0);
    expect(await metric('finn_spool_bytes')).toBeGreaterThan(0);
  });

  test('both streams are made as the contract says, and left alone when they exist', async () => {
    const service = start();
    await waitFor(() => service.connected);
    await services.pop()?.close();
    await withManager(nats, async (manager) => {
      const usage = await manager.streams.info(USAGE_STREAM.name);
      expect(usage.config).toMatchObject({
        retention: 'workqueue',
        storage: 'file',
        max_age: USAGE_STREAM.maxAgeSeconds * 1e9,
        subjects: [USAGE_STREAM.subject],
      });
      expect(usage.config.duplicate_window).toBeGreaterThanOrEqual(120e9);
      const parked = await manager.streams.info(USAGE_STREAM.parkedName);
      expect(parked.config.subjects).toEqual([USAGE_STREAM.parkedSubject]);
      await manager.streams.update(USAGE_STREAM.name, { description: 'an operator’s own' });
    });
    const again = start();
    await waitFor(() => again.connected);
    const description = await withManager(nats, async (manager) => {
      const { config } = await manager.streams.info(USAGE_STREAM.name);
      return config.description;
    });
    expect(description).toBe('an operator’s own');
  });

  test('an abandoned stream publishes nothing', async () => {
    const service = start();
    await waitFor(() => service.connected);
    service.start(meterStart()).abandon();
    const id = meterOne(service);
    await waitFor(() => service.pending === 0);
    expect(await storedIds(nats)).toEqual([id]);
  });

  test('a stream that is deleted under us is made again', async () => {
    const service = start();
    await waitFor(() => service.connected);
    await withManager(nats, (manager) => manager.streams.delete(USAGE_STREAM.name));
    const id = meterOne(service);
    await waitFor(() => service.pending === 0);
    expect(await storedIds(nats)).toEqual([id]);
  });

  test('draining waits for what is under way', async () => {
    const service = start();
    await waitFor(() => service.connected);
    for (let count = 0; count < 1000; count += 1) meterOne(service);
    expect(service.pending).toBe(1000);
    await service.drain(10_000);
    expect(service.pending).toBe(0);
    expect(new Set(await storedIds(nats)).size).toBe(1000);
  });
});

test('a NATS URL that is none stops the start, without being repeated', () => {
  expect(() => start('hunter2')).toThrow(/^(?!.*hunter2).*NATS URL/);
  expect(() => start('https://hunter2')).toThrow(/NATS URL/);
  expect(() => start()).not.toThrow();
});

test('only the first end of an answer counts, whichever it is', async () => {
  const service = start();
  const abandoned = service.start(meterStart({ reservationId: uuidv7() }));
  abandoned.abandon();
  abandoned.finish({ promptTokens: 12, completionTokens: 3, latencyMs: 10 });
  expect(service.pending).toBe(0);

  const reservationId = uuidv7();
  const finished = service.start(meterStart({ reservationId }));
  finished.finish({ promptTokens: 12, completionTokens: 3, latencyMs: 10 });
  await waitFor(() => service.pending === 0);
  finished.finish({ promptTokens: 12, completionTokens: 9, latencyMs: 10 });
  finished.abandon();
  await service.drain(1_000);
  expect(await metric('finn_usage_published_total', { outcome: 'duplicate' })).toBe(0);
  expect(await stored(nats)).toMatchObject([
    { budget_reservation_id: reservationId, completion_tokens: 3 },
  ]);
});

describe('without NATS', () => {
  test('answers are metered, and their events arrive once each when it comes back', async () => {
    await nats.kill();
    const service = start();
    const before = Array.from({ length: 20 }, () => meterOne(service));
    expect(service.connected).toBe(false);
    expect(service.pending).toBe(20);

    await restartNats();
    await waitFor(() => service.pending === 0);
    await nats.kill();
    await waitFor(() => !service.connected);
    const during = Array.from({ length: 20 }, () => meterOne(service));
    await service.drain(50);
    expect(service.pending).toBe(20);

    await restartNats();
    await waitFor(() => service.pending === 0);
    const ids = await storedIds(nats);
    expect(ids.toSorted()).toEqual([...before, ...during].toSorted());
    expect(await metric('finn_usage_published_total', { outcome: 'acked' })).toBe(40);
  });

  test('events survive a restart of finn, and arrive as they were', async () => {
    const url = nats.url;
    await nats.kill();
    const first = start(url);
    const ids = Array.from({ length: 5 }, () => meterOne(first, 7));
    await services.pop()?.close();

    await restartNats();
    const second = start(url);
    expect(second.pending).toBe(5);
    await waitFor(() => second.pending === 0);
    const events = await stored(nats);
    expect(events.map((event) => event.budget_reservation_id)).toEqual(ids);
    expect(events.every(({ finality }) => finality === 'final')).toBe(true);
    expect(await metric('finn_usage_recovered_total')).toBe(0);
  });

  test('events whose acknowledgement was lost are sent again, and stored once', async () => {
    const url = nats.url;
    await nats.kill();
    const first = start(url);
    const id = meterOne(first);
    const copyDir = `${spoolDir}-copy`;
    await cp(spoolDir, copyDir, { recursive: true });
    await restartNats();
    await waitFor(() => first.pending === 0);
    await services.pop()?.close();

    // The copy knows of no acknowledgement, like the spool of a process killed before it came.
    await rm(spoolDir, { recursive: true });
    await rename(copyDir, spoolDir);
    const second = start(url);
    expect(second.pending).toBe(1);
    await waitFor(() => second.pending === 0);
    expect(await storedIds(nats)).toEqual([id]);
    expect(await metric('finn_usage_published_total', { outcome: 'duplicate' })).toBe(1);
  });

  test('that came back with an empty store, the streams and what it had not acknowledged do too', async () => {
    const service = start();
    await waitFor(() => service.connected);
    meterOne(service);
    await waitFor(() => service.pending === 0);
    await nats.kill();
    await waitFor(() => !service.connected);
    const ids = Array.from({ length: 3 }, () => meterOne(service));

    await rm(join(natsDir, 'jetstream'), { recursive: true });
    await restartNats();
    await waitFor(() => service.pending === 0);
    expect((await storedIds(nats)).toSorted()).toEqual(ids.toSorted());
  });
});

test('kill -9 in the middle of a stream: what was journaled is published as recovered', async () => {
  const reservationId = uuidv7();
  const child = spawn(process.execPath, [CHILD, spoolDir, nats.url, reservationId], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let journaled = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    journaled = Number(line);
  });
  await waitFor(() => journaled >= 50);
  child.kill('SIGKILL');
  await once(child, 'close');

  const service = start();
  await waitFor(() => service.pending === 0);
  const [event, ...others] = await stored(nats);
  expect(others).toEqual([]);
  expect(event).toMatchObject({ budget_reservation_id: reservationId, finality: 'recovered' });
  expect(event?.completion_tokens).toBeGreaterThanOrEqual(journaled);
  // One turn may have been journaled whose line was still on its way to us.
  expect(event?.completion_tokens).toBeLessThanOrEqual(journaled + 3);
  expect(await metric('finn_usage_recovered_total')).toBe(1);
});

test('a live finn keeps its spool to itself', async () => {
  const child = spawn(process.execPath, [CHILD, spoolDir, nats.url, uuidv7()], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(child.stdout, 'data');
    expect(() => start()).toThrow(/in use by process/);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
});
