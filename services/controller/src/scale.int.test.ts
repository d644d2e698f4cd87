import { createTestDatabase, waitFor, type TestDatabase } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  API_VERSION,
  KIND,
  SIGNING_KEYS,
  type SigningKeyObject,
} from './reconcilers/signing-key/resource.ts';
import {
  CLUSTER,
  SKIPPED,
  createTestCluster,
  startControllerProcess,
  type ControllerProcess,
  type TestCluster,
} from './test-support/cluster.ts';

const COUNT = 1_000;
const SAMPLES = 100;
const target = { service: 'a', port: 3000 };

describe.skipIf(CLUSTER === undefined)(
  `a thousand resources${SKIPPED}`,
  { timeout: 300_000 },
  () => {
    let cluster: TestCluster;
    let database: TestDatabase;
    let controller: ControllerProcess;

    beforeAll(async () => {
      [cluster, database] = await Promise.all([createTestCluster(), createTestDatabase()]);
      const names = Array.from(
        { length: COUNT },
        (_, index) => `key-${String(index).padStart(4, '0')}`,
      );
      const spec = {
        issuer: 'loa-freeside',
        targets: { jwks: target, signers: target, verifiers: target },
      };
      const worker = async (): Promise<void> => {
        for (let name = names.pop(); name !== undefined; name = names.pop()) {
          await cluster.api.create(SIGNING_KEYS, {
            apiVersion: API_VERSION,
            kind: KIND,
            metadata: { name, namespace: cluster.namespace },
            spec,
          } as never);
        }
      };
      await Promise.all(Array.from({ length: 8 }, worker));
      controller = await startControllerProcess(cluster, database.jwksWriterUrl);
    }, 200_000);

    afterAll(async () => {
      await controller.kill('SIGKILL');
      await Promise.all([cluster.drop(), database.drop()]);
    }, 200_000);

    const all = async () =>
      (await cluster.api.list<SigningKeyObject>(SIGNING_KEYS, { namespace: cluster.namespace }))
        .items;
    const figure = async (pattern: RegExp): Promise<number> =>
      (await controller.metrics())
        .split('\n')
        .filter((line) => pattern.test(line))
        .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);

    it('each have a status soon after a change', async () => {
      const startedAt = performance.now();
      await waitFor(
        async () => (await all()).every((object) => object.status?.observedGeneration === 1),
        { timeoutMs: 200_000, intervalMs: 500 },
      );
      const firstMs = performance.now() - startedAt;
      const writes = /^controller_api_requests_total\{.*(verb="(apply|patch|create|get)").*/;
      const perObject = (await figure(writes)) / COUNT;
      const latenciesMs: number[] = [];
      for (let sample = 0; sample < SAMPLES; sample += 1) {
        const name = `key-${String((sample * 7 + 1) % COUNT).padStart(4, '0')}`;
        const object = { namespace: cluster.namespace, name };
        const { metadata } = await cluster.api.mergePatch<SigningKeyObject>(SIGNING_KEYS, object, {
          spec: { overlap: `${24 + (sample % 5) + 1}h` },
        });
        const changedAt = performance.now();
        await waitFor(
          async () => {
            const { status } = await cluster.get(name);
            return (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
          },
          { timeoutMs: 60_000, intervalMs: 5 },
        );
        latenciesMs.push(performance.now() - changedAt);
      }
      latenciesMs.sort((a, b) => a - b);
      const [p50, p99] = [latenciesMs[SAMPLES / 2], latenciesMs[SAMPLES - 2]];
      const rssMiB = (await figure(/^process_resident_memory_bytes/)) / 1024 / 1024;
      const perChange = ((await figure(writes)) - perObject * COUNT) / SAMPLES;
      process.stderr.write(
        `[scale] ${COUNT} resources: all have a status after ${Math.round(firstMs)} ms, ${perObject.toFixed(2)} calls each; a change p50 ${p50?.toFixed(0)} ms, p99 ${p99?.toFixed(0)} ms, ${perChange.toFixed(2)} calls; ${rssMiB.toFixed(0)} MiB\n`,
      );
      // Of the hundred changes the slowest ones are the machine's.
      expect(p50).toBeLessThan(250);
    });
  },
);
