import { startTcpRelay, waitFor, type TcpRelay } from '@arrakis/testkit';
import { createRegistry } from '@arrakis/service-kit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ApiClient } from '../kubernetes/api.client.ts';
import { CONFIG_MAPS, type ConfigMapObject } from '../kubernetes/objects.ts';
import { CLUSTER, SKIPPED, createTestCluster, type TestCluster } from '../test-support/cluster.ts';
import { Informer } from './informer.ts';
import { createRuntimeMetrics } from './metrics.ts';

describe.skipIf(CLUSTER === undefined)(
  `a watch of a real API server${SKIPPED}`,
  { timeout: 240_000 },
  () => {
    let cluster: TestCluster;
    let relay: TcpRelay;
    let informer: Informer<ConfigMapObject>;
    let api: ApiClient;
    let changed: string[] = [];
    const registry = createRegistry('test');
    const metrics = createRuntimeMetrics(registry);

    beforeAll(async () => {
      cluster = await createTestCluster();
    });
    afterAll(() => cluster.drop());

    beforeEach(async () => {
      const server = new URL(cluster.connection.server);
      relay = await startTcpRelay({ targetPort: Number(server.port) });
      api = new ApiClient({
        connection: {
          ...cluster.connection,
          server: `https://127.0.0.1:${relay.port}`,
          // Its certificate is for another address than the relay's.
          tls: { ...cluster.connection.tls, rejectUnauthorized: false },
        },
      });
      changed = [];
      registry.resetMetrics();
      informer = new Informer<ConfigMapObject>({
        api,
        resource: CONFIG_MAPS,
        selection: { namespace: cluster.namespace, labelSelector: 'test=yes' },
        onChange: (name) => void changed.push(name),
        events: metrics.observeWatch('configmaps', () => undefined),
      });
      informer.start();
      await waitFor(() => informer.isSynced);
    });

    afterEach(async () => {
      await informer.close();
      await api.close();
      await relay.close();
    });

    const write = (name: string, value: string) =>
      cluster.api.apply<ConfigMapObject>(CONFIG_MAPS, {
        ...{ apiVersion: 'v1', kind: 'ConfigMap' },
        metadata: { name, namespace: cluster.namespace, labels: { test: 'yes' } },
        data: { value },
      });
    const count = async (name: string, labels: string): Promise<number> => {
      const line = (await registry.metrics())
        .split('\n')
        .find((text) => text.startsWith(`${name}{${labels}`));
      return Number(line?.split(' ').at(-1) ?? 0);
    };

    it('tells of changes', async () => {
      await write('one', 'a');
      await waitFor(() => informer.get('one')?.data?.value === 'a');
      await write('one', 'b');
      await waitFor(() => informer.get('one')?.data?.value === 'b');
      expect(changed.filter((name) => name === 'one').length).toBeGreaterThanOrEqual(2);
      // By the watch itself, and not by what looks after it.
      expect(await count('watch_missed_then_healed_total', 'resource="configmaps"')).toBe(0);
    });

    it('heals within 30 s when its connection goes silent, and counts what it had missed', async () => {
      await write('two', 'a');
      await waitFor(() => informer.get('two')?.data?.value === 'a');
      relay.strand();
      await write('two', 'b');
      const silentAt = performance.now();
      await waitFor(() => informer.get('two')?.data?.value === 'b', { timeoutMs: 30_000 });
      const tookMs = Math.round(performance.now() - silentAt);
      process.stderr.write(`[informer] healed after ${tookMs} ms\n`);
      expect(await count('watch_missed_then_healed_total', 'resource="configmaps"')).toBe(1);
      expect(await count('controller_watch_ends_total', 'resource="configmaps",why="silent"')).toBe(
        1,
      );
    });

    it('goes on without a list when the server ends the watch in time', async () => {
      await waitFor(
        () => count('controller_watch_ends_total', 'resource="configmaps",why="ended"'),
        { timeoutMs: 30_000, intervalMs: 200 },
      );
      await write('three', 'a');
      await waitFor(() => informer.get('three')?.data?.value === 'a');
      expect(await count('watch_missed_then_healed_total', 'resource="configmaps"')).toBe(0);
      await informer.verify();
      expect(await count('watch_missed_then_healed_total', 'resource="configmaps"')).toBe(0);
    });
  },
);
