import { FLAGS_TOLD_FILE, FLAG_NAMES } from '@arrakis/contracts';
import { readDocument, readFlags, openFlagsBucket, type StoredFlags } from '@arrakis/flags';
import { natsOptions } from '@arrakis/nats';
import {
  createTestDatabase,
  createTestNats,
  startTcpRelay,
  waitFor,
  type TcpRelay,
  type TestDatabase,
  type TestNats,
} from '@arrakis/testkit';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CONFIG_MAPS, PODS, type ConfigMapObject } from '../../kubernetes/objects.ts';
import {
  CLUSTER,
  SKIPPED,
  createTestCluster,
  startControllerProcess,
  type ControllerProcess,
  type TestCluster,
} from '../../test-support/cluster.ts';
import type { PodObject } from '../../mounts/mounting-pods.client.ts';
import { FLAGS_REVISION_ANNOTATION } from './reconciler.ts';
import { readStatement } from './statement.domain.ts';

const PATIENCE = { timeoutMs: 60_000, intervalMs: 50 };
const SETTLED_MS = 15_000;
const WEB_CHAT = 'FEATURE_WEB_CHAT_ENABLED';
/** The cluster can't have it and may not fetch it: such a pod is only an object. */
const NO_IMAGE = { image: 'arrakis.invalid/none:0', imagePullPolicy: 'Never' };
/** One of the platform's own; all that it needs is a shell. */
const REAL_IMAGE = { image: 'redis:7', imagePullPolicy: 'IfNotPresent' };

describe.skipIf(CLUSTER === undefined)(
  `flags while NATS is away, and a real API server${SKIPPED}`,
  { timeout: 300_000 },
  () => {
    let database: TestDatabase;
    let cluster: TestCluster;
    let nats: TestNats;
    let relay: TcpRelay;
    let controller: ControllerProcess;
    let webChat = true;
    let isDown = false;

    beforeAll(async () => {
      [database, cluster, nats] = await Promise.all([
        createTestDatabase(),
        createTestCluster(),
        createTestNats(),
      ]);
      const url = new URL(nats.url);
      relay = await startTcpRelay({ targetPort: Number(url.port) });
      url.port = String(relay.port);
      await flip();
      const makers = [
        makePod('mounts', { configMap: { name: 'platform-flags' } }),
        makePod('projects', {
          projected: { sources: [{ configMap: { name: 'platform-flags' } }] },
        }),
        makePod('mounts-another', { configMap: { name: 'pools', optional: true } }),
        makePod('mounts-none', { emptyDir: {} }),
      ];
      await Promise.all(makers);
      controller = await startControllerProcess(cluster, database.jwksWriterUrl, {
        NATS_URL: url.href,
      });
    });

    beforeEach(async () => {
      if (isDown) await nats.restart();
      isDown = false;
      await waitFor(async () => (await statement())?.carrier === 'nats', PATIENCE);
    });

    afterAll(async () => {
      await controller.kill('SIGKILL');
      await relay.close();
      await Promise.all([cluster.drop(), nats.drop(), database.drop()]);
    });

    /** As an operator does; returns the value that it has now. */
    async function flip(): Promise<boolean> {
      webChat = !webChat;
      const all = FLAG_NAMES.map((name) => [name, String(name !== WEB_CHAT || webChat)]);
      const labels = { 'flags.arrakis.community/platform': 'true' };
      await cluster.raw(
        'PATCH',
        `api/v1/namespaces/${cluster.namespace}/configmaps/platform-flags?fieldManager=operator&force=true`,
        {
          ...{ apiVersion: 'v1', kind: 'ConfigMap' },
          metadata: { name: 'platform-flags', labels },
          data: Object.fromEntries(all) as Record<string, string>,
        },
        'application/apply-patch+yaml',
      );
      return webChat;
    }

    async function makePod(
      name: string,
      volume: object,
      container: object = NO_IMAGE,
    ): Promise<void> {
      const { status } = await cluster.raw('POST', `api/v1/namespaces/${cluster.namespace}/pods`, {
        metadata: { name },
        spec: {
          terminationGracePeriodSeconds: 0,
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          volumes: [{ name: 'flags', ...volume }],
          containers: [
            { name: 'only', volumeMounts: [{ name: 'flags', mountPath: '/flags' }], ...container },
          ],
        },
      });
      expect(status).toBe(201);
    }

    async function kill(): Promise<void> {
      isDown = true;
      await nats.kill();
    }

    const statement = async () => {
      const target = { namespace: cluster.namespace, name: 'platform-flags' };
      const { metadata } = await cluster.api.get<ConfigMapObject>(CONFIG_MAPS, target);
      return readStatement(metadata.annotations?.['flags.arrakis.community/status']);
    };
    /** The document that files carry. */
    const told = async () => {
      const target = { namespace: cluster.namespace, name: 'platform-flags' };
      const { data } = await cluster.api.get<ConfigMapObject>(CONFIG_MAPS, target);
      return readDocument(data?.[FLAGS_TOLD_FILE] ?? '');
    };
    const readBucket = async (): Promise<StoredFlags> => {
      const connection = await connect(natsOptions(nats.url, 'test'));
      try {
        return await readFlags(await openFlagsBucket(connection));
      } finally {
        await connection.close();
      }
    };
    const pod = (name: string) =>
      cluster.api.get<PodObject>(PODS, { namespace: cluster.namespace, name });
    const revisionOf = async (name: string): Promise<string | undefined> =>
      (await pod(name)).metadata.annotations?.[FLAGS_REVISION_ANNOTATION];
    const poked = async (): Promise<number> => {
      const line = (await controller.metrics())
        .split('\n')
        .find((text) => text.startsWith('controller_flag_pods_poked_total'));
      return Number(line?.split(' ').at(-1));
    };
    /** Looks at the flags that failed so far. */
    const failures = async (): Promise<number> => {
      const line = (await controller.metrics())
        .split('\n')
        .find((text) => /^controller_queue_retries_total\{.*"feature-flags"/.test(text));
      return Number(line?.split(' ').at(-1));
    };
    const reasons = async (): Promise<string[]> => {
      const path = `apis/events.k8s.io/v1/namespaces/${cluster.namespace}/events`;
      const { body } = await cluster.raw('GET', path);
      return (body as { items: { reason: string }[] }).items.map(({ reason }) => reason);
    };

    it('leaves the pods alone while NATS can be told', async () => {
      const before = (await statement())?.observedResourceVersion;
      await flip();
      await waitFor(async () => (await statement())?.observedResourceVersion !== before, PATIENCE);
      expect((await statement())?.carrier).toBe('nats');
      expect(await told()).toEqual((await readBucket()).statement);
      expect(await revisionOf('mounts')).toBeUndefined();
      expect(await poked()).toBe(0);
    });

    it('tells each pod that mounts the flags of a change, once, and no other pod', async () => {
      const toldBefore = await told();
      await kill();
      // Nothing changed yet: nothing has to be carried.
      const [failed, pokedBefore] = await Promise.all([failures(), poked()]);
      await waitFor(async () => (await failures()) > failed + 1, PATIENCE);
      expect(await poked()).toBe(pokedBefore);
      const isOn = await flip();
      const flippedAt = performance.now();
      await waitFor(async () => (await poked()) === pokedBefore + 2, PATIENCE);
      process.stderr.write(
        `[flags] NATS killed: pods told after ${Math.round(performance.now() - flippedAt)} ms\n`,
      );
      const said = await statement();
      expect(said).toMatchObject({ carrier: 'files', effective: { [WEB_CHAT]: isOn } });
      const document = await told();
      expect(document?.values).toEqual(said?.effective);
      expect(document?.changedAtMs).toBeGreaterThan(toldBefore?.changedAtMs ?? Infinity);
      expect(await revisionOf('mounts')).toBe(said?.observedResourceVersion);
      expect(await revisionOf('projects')).toBe(said?.observedResourceVersion);
      expect(await revisionOf('mounts-another')).toBeUndefined();
      expect(await revisionOf('mounts-none')).toBeUndefined();
      // However often it is tried again.
      const before = (await pod('mounts')).metadata.resourceVersion;
      const since = await failures();
      await waitFor(async () => (await failures()) > since + 1, PATIENCE);
      expect(await poked()).toBe(pokedBefore + 2);
      expect((await pod('mounts')).metadata.resourceVersion).toBe(before);
      await flip();
      await waitFor(async () => (await poked()) === pokedBefore + 4, PATIENCE);
      expect(await revisionOf('mounts')).not.toBe(said?.observedResourceVersion);
      expect(await reasons()).toContain('FlagsToldByFiles');
    });

    it('tells the bucket when NATS is back, and leaves the pods alone again', async () => {
      const isOn = await flipWhileAway();
      const before = await poked();
      await nats.restart();
      isDown = false;
      await waitFor(async () => (await statement())?.carrier === 'nats', PATIENCE);
      const stored = await readBucket();
      expect(stored.flags[WEB_CHAT]).toBe(isOn);
      expect(await told()).toEqual(stored.statement);
      await flip();
      await waitFor(async () => (await statement())?.effective[WEB_CHAT] === webChat, PATIENCE);
      expect(await poked()).toBe(before);
    });

    async function flipWhileAway(): Promise<boolean> {
      await kill();
      const before = await poked();
      const isOn = await flip();
      await waitFor(async () => (await poked()) > before, PATIENCE);
      return isOn;
    }

    it('waits no longer than seconds for a NATS that swallows everything', async () => {
      const before = await poked();
      relay.blackHole();
      const flippedAt = performance.now();
      await flip();
      await waitFor(async () => (await poked()) === before + 2, PATIENCE);
      const tookMs = Math.round(performance.now() - flippedAt);
      process.stderr.write(`[flags] NATS silent: pods told after ${tookMs} ms\n`);
      expect(tookMs).toBeLessThan(10_000);
      await relay.restore();
    });

    it('reaches the files of a running pod within seconds', async () => {
      // Ends well as soon as its file says what it waits for.
      const wanted = String(!webChat);
      const watch = `echo watching; until [ "$(cat /flags/${WEB_CHAT})" = ${wanted} ]; do sleep 0.1; done`;
      const volume = { configMap: { name: 'platform-flags' } };
      await makePod('watches', volume, { ...REAL_IMAGE, command: ['sh', '-c', watch] });
      const phase = async () => (await pod('watches')).status?.phase;
      await waitFor(async () => (await phase()) === 'Running', { timeoutMs: 60_000 });
      // A kubelet syncs a pod that has just started several times by itself.
      const { creationTimestamp = '' } = (await pod('watches')).metadata;
      await waitFor(() => Date.now() - Date.parse(creationTimestamp) > SETTLED_MS, {
        timeoutMs: 60_000,
        intervalMs: 500,
      });
      await kill();
      const flippedAt = performance.now();
      await flip();
      await waitFor(async () => (await phase()) === 'Succeeded', { timeoutMs: 60_000 });
      const tookMs = Math.round(performance.now() - flippedAt);
      process.stderr.write(`[flags] NATS killed: in a running pod after ${tookMs} ms\n`);
      expect(tookMs).toBeLessThan(15_000);
    });
  },
);
