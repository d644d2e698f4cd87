import { createPool } from '@arrakis/postgres';
import { createTestDatabase, waitFor, type TestDatabase } from '@arrakis/testkit';
import type { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PODS, SECRETS, type SecretObject } from './kubernetes/objects.ts';
import type { PodObject } from './mounts/mounting-pods.client.ts';
import {
  ACTIVE_KID_ANNOTATION,
  API_VERSION,
  KIND,
  ROTATE_ANNOTATION,
  SIGNING_KEYS,
} from './reconcilers/signing-key/resource.ts';
import {
  CLUSTER,
  SKIPPED,
  createTestCluster,
  startControllerProcess,
  type ControllerProcess,
  type TestCluster,
} from './test-support/cluster.ts';
import { startFakeReplica, type FakeReplica } from './test-support/fake-replica.ts';

const PATIENCE = { timeoutMs: 60_000, intervalMs: 50 };
const SPEC_TIMES = { rotationInterval: '1h', overlap: '3s', propagationWait: '1s' };

describe.skipIf(CLUSTER === undefined)(
  `the controller and a real API server${SKIPPED}`,
  { timeout: 300_000 },
  () => {
    let database: TestDatabase;
    let pool: Pool;
    let cluster: TestCluster;
    let replica: FakeReplica;
    const controllers: ControllerProcess[] = [];

    beforeAll(async () => {
      database = await createTestDatabase();
      pool = createPool({
        url: database.jwksWriterUrl,
        max: 4,
        applicationName: 'test',
        onError: () => undefined,
      });
    });

    beforeEach(async () => {
      await pool.query('DELETE FROM freeside.s2s_jwks_public_keys');
      cluster = await createTestCluster();
      replica = await startFakeReplica({
        host: cluster.address,
        db: pool,
        api: cluster.api,
        secret: { namespace: cluster.namespace, name: 'signing-key-freeside' },
      });
    });

    afterEach(async () => {
      await Promise.all(controllers.splice(0).map((one) => one.kill('SIGKILL')));
      await replica.close();
      await cluster.drop();
    });

    afterAll(async () => {
      await pool.end();
      await database.drop();
    });

    async function start(env: Record<string, string> = {}): Promise<ControllerProcess> {
      const one = await startControllerProcess(cluster, database.jwksWriterUrl, env);
      controllers.push(one);
      return one;
    }

    async function create(name = 'freeside', spec: object = {}): Promise<void> {
      const { port } = replica;
      await cluster.api.create(SIGNING_KEYS, {
        ...{
          apiVersion: API_VERSION,
          kind: KIND,
          metadata: { name, namespace: cluster.namespace },
        },
        spec: {
          issuer: 'loa-freeside',
          ...SPEC_TIMES,
          targets: {
            jwks: { service: 'api', port },
            signers: { service: 'api', port },
            verifiers: { service: 'finn', port },
          },
          ...spec,
        },
      } as never);
    }

    const status = async () => (await cluster.get('freeside')).status ?? {};
    const activeKid = async () => (await status()).activeKid;
    const secret = () =>
      cluster.api.get<SecretObject>(SECRETS, {
        namespace: cluster.namespace,
        name: 'signing-key-freeside',
      });
    const rows = async (): Promise<string[]> => {
      const { rows: found } = await pool.query<{ kid: string }>(
        'SELECT kid FROM freeside.s2s_jwks_public_keys WHERE expires_at > now() ORDER BY kid',
      );
      return found.map(({ kid }) => kid);
    };
    const annotate = (value: string) =>
      cluster.api.mergePatch(
        SIGNING_KEYS,
        { namespace: cluster.namespace, name: 'freeside' },
        { metadata: { annotations: { [ROTATE_ANNOTATION]: value } } },
      );
    const isReady = async (): Promise<boolean> =>
      (await status()).conditions?.find(({ type }) => type === 'Ready')?.status === 'True';

    const story = async () => {
      const path = `apis/events.k8s.io/v1/namespaces/${cluster.namespace}/events`;
      const { body } = await cluster.raw('GET', path);
      return (body as { items: { reason: string; reportingInstance: string }[] }).items;
    };
    const isOf = (one: ControllerProcess, instance: string): boolean =>
      one.logs().some(({ identity }) => identity === instance);
    /** Requests that it sent to change something, the Lease apart. */
    async function writesOf(one: ControllerProcess): Promise<number> {
      return (await one.metrics())
        .split('\n')
        .filter((line) => line.startsWith('controller_api_requests_total'))
        .filter((line) => !/verb="(?:get|list|watch)"|resource="leases"/.test(line))
        .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    }

    /** A pod that needn't run: that its kubelet is made to look again is all that is asked. */
    async function mountSecret(name: string, secretName: string): Promise<void> {
      const { status: code } = await cluster.raw(
        'POST',
        `api/v1/namespaces/${cluster.namespace}/pods`,
        {
          metadata: { name },
          spec: {
            terminationGracePeriodSeconds: 0,
            volumes: [{ name: 'keys', secret: { secretName, optional: true } }],
            containers: [
              { name: 'only', image: 'arrakis.invalid/none:0', imagePullPolicy: 'Never' },
            ],
          },
        },
      );
      expect(code).toBe(201);
    }
    const toldKid = async (name: string): Promise<string | undefined> => {
      const target = { namespace: cluster.namespace, name };
      const { metadata } = await cluster.api.get<PodObject>(PODS, target);
      return metadata.annotations?.[ACTIVE_KID_ANNOTATION];
    };

    /** The first key is there, and the replica signs with it. */
    async function begin(): Promise<string> {
      await create();
      await waitFor(isReady, PATIENCE);
      await cluster.setEndpoints('api', [cluster.address]);
      await cluster.setEndpoints('finn', [cluster.address]);
      return waitFor(async () => {
        const { activeKid: kid, keys = [] } = await status();
        return keys.some((key) => key.kid === kid && key.activatedAt !== undefined) && kid;
      }, PATIENCE);
    }

    async function isRotated(oldKid: string): Promise<boolean> {
      const { activeKid: kid, keys = [] } = await status();
      const old = keys.find((key) => key.kid === oldKid);
      return kid !== oldKid && old?.phase === 'Retired' && replica.kid === kid;
    }

    it('makes the first key, rotates when asked, and leaks nothing', async () => {
      const one = await start();
      const first = await begin();
      const pems = [
        Buffer.from((await secret()).data?.[`${first}.pem`] ?? '', 'base64').toString('utf8'),
      ];
      await mountSecret('signer', 'signing-key-freeside');
      await mountSecret('stranger', 'another');
      // Pods are told while signers have not switched: a replica as fast as this one needs no hurry.
      replica.isHeld = true;
      await annotate('now');
      const told = await waitFor(() => toldKid('signer'), PATIENCE);
      replica.isHeld = false;
      await waitFor(() => isRotated(first), PATIENCE);
      const second = await activeKid();
      expect(told).toBe(second);
      expect(await toldKid('stranger')).toBeUndefined();
      expect(await rows()).toEqual([second]);
      expect(Object.keys((await secret()).data ?? {}).sort()).toEqual(
        [`${second}.pem`, 'active.json'].sort(),
      );
      pems.push(
        Buffer.from((await secret()).data?.[`${second}.pem`] ?? '', 'base64').toString('utf8'),
      );
      const { body: events } = await cluster.raw(
        'GET',
        `apis/events.k8s.io/v1/namespaces/${cluster.namespace}/events`,
      );
      const story = (events as { items: { reason: string }[] }).items.map(({ reason }) => reason);
      expect(story).toEqual(
        expect.arrayContaining([
          'KeyBootstrapped',
          'RotationStarted',
          'KeyPublished',
          'KeyServed',
          'CanaryPassed',
          'KeyActivated',
          'SwitchSeen',
          'KeyRetired',
        ]),
      );
      const said = [
        JSON.stringify(await cluster.get('freeside')),
        JSON.stringify(events),
        await one.metrics(),
        ...one.stdout,
        ...one.stderr,
      ].join('\n');
      for (const pem of pems) {
        for (const line of pem
          .split('\n')
          .filter((text) => text.length > 20 && !text.startsWith('---'))) {
          expect(said).not.toContain(line);
        }
      }
      expect(said).not.toMatch(/PRIVATE KEY|"d":/);
      expect((await one.readiness()).checks).toMatchObject({ leader: 'ok' });
    });

    it.each(['Publishing', 'Propagating', 'Canary', 'Active'])(
      'killed while a rotation is %s, it ends that rotation when it is back',
      async (phase) => {
        const one = await start();
        const first = await begin();
        // Each phase is held open from outside.
        replica.servesKeys = phase !== 'Publishing';
        replica.acceptsTokens = phase !== 'Canary';
        replica.isHeld = phase === 'Active';
        await annotate('now');
        await waitFor(async () => {
          const { phase: now, keys = [], conditions = [] } = await status();
          const isRotating = conditions.some(
            ({ type, status: is }) => type === 'Rotating' && is === 'True',
          );
          return now === phase && keys.length > 1 && isRotating;
        }, PATIENCE);
        await one.kill('SIGKILL');
        replica.servesKeys = true;
        replica.acceptsTokens = true;
        replica.isHeld = false;
        await start();
        await waitFor(() => isRotated(first), PATIENCE);
        expect((await status()).keys?.filter(({ phase: at }) => at !== 'Retired')).toHaveLength(1);
      },
    );

    it('puts right what a hand did to the Secret and the table', async () => {
      await start();
      const kid = await begin();
      const target = { namespace: cluster.namespace, name: 'signing-key-freeside' };
      const stray = Buffer.from(
        JSON.stringify({ activeKid: 'other', updatedAt: new Date() }),
      ).toString('base64');
      await cluster.api.mergePatch(SECRETS, target, { data: { 'active.json': stray } });
      await waitFor(
        async () =>
          Buffer.from((await secret()).data?.['active.json'] ?? '', 'base64')
            .toString()
            .includes(kid),
        PATIENCE,
      );
      await pool.query('DELETE FROM freeside.s2s_jwks_public_keys');
      await waitFor(async () => (await rows()).includes(kid), PATIENCE);
      // The only copy of the private key is gone: replicas sign on from memory while the next key comes.
      await cluster.api.mergePatch(SECRETS, target, {
        data: { [`${kid}.pem`]: Buffer.from('garbled').toString('base64') },
      });
      await waitFor(() => isRotated(kid), PATIENCE);
      expect(Object.keys((await secret()).data ?? {})).not.toContain(`${kid}.pem`);
    });

    it('lets a deleted resource go when no replica signs with its keys any more', async () => {
      await start();
      const kid = await begin();
      const path = `${SIGNING_KEYS.root}/namespaces/${cluster.namespace}/signingkeys/freeside`;
      await cluster.raw('DELETE', path);
      await waitFor(async () => {
        const { body } = await cluster.raw(
          'GET',
          `apis/events.k8s.io/v1/namespaces/${cluster.namespace}/events`,
        );
        return (body as { items: { reason: string }[] }).items.some(
          ({ reason }) => reason === 'DeletionWaits',
        );
      }, PATIENCE);
      expect(await rows()).toEqual([kid]);
      await cluster.setEndpoints('api', []);
      await waitFor(async () => (await cluster.raw('GET', path)).status === 404, PATIENCE);
      expect(await rows()).toEqual([]);
    });

    it('gives one issuer to one resource', async () => {
      await start();
      await begin();
      await create('another');
      await waitFor(async () => {
        const { conditions = [] } = (await cluster.get('another')).status ?? {};
        return conditions.some(({ reason }) => reason === 'IssuerTaken');
      }, PATIENCE);
      expect((await secret()).data).toBeDefined();
    });

    it('has one leader of two; when that is killed the other goes on within 20 s', async () => {
      const first = await start();
      await waitFor(async () => (await first.readiness()).checks.leader, PATIENCE);
      const second = await start();
      expect((await second.readiness()).checks).toMatchObject({ follower: 'ok' });
      const kid = await begin();
      await first.kill('SIGKILL');
      const killedAt = performance.now();
      await annotate('takeover');
      await waitFor(async () => (await second.readiness()).checks.leader, PATIENCE);
      expect(performance.now() - killedAt).toBeLessThan(20_000);
      await waitFor(() => isRotated(kid), PATIENCE);
    });

    it('writes nothing any more once another leads, though it was in the middle of something', async () => {
      const first = await start();
      await waitFor(async () => (await first.readiness()).checks.leader, PATIENCE);
      const kid = await begin();
      // Its next step, as soon as the replica accepts tokens, is to switch keys.
      replica.acceptsTokens = false;
      await annotate('fenced');
      await waitFor(async () => (await status()).phase === 'Canary', PATIENCE);
      await waitFor(
        async () => (await story()).some(({ reason }) => reason === 'CanaryNotPassed'),
        PATIENCE,
      );
      const second = await start();
      const sent = await writesOf(first);
      first.signal('SIGSTOP');
      await waitFor(async () => (await second.readiness()).checks.leader, PATIENCE);
      const told = (await story()).filter(({ reportingInstance: by }) => isOf(first, by)).length;
      replica.acceptsTokens = true;
      first.signal('SIGCONT');
      await waitFor(async () => (await first.readiness()).checks.follower, PATIENCE);
      await waitFor(() => isRotated(kid), PATIENCE);
      // The world as it knew it asked for a switch: refused before it was sent.
      expect(await writesOf(first)).toBe(sent);
      expect((await story()).filter(({ reportingInstance: by }) => isOf(first, by))).toHaveLength(
        told,
      );
      expect((await secret()).data).toHaveProperty(`${(await activeKid()) ?? ''}.pem`);
      await second.kill('SIGKILL');
      await waitFor(async () => (await first.readiness()).checks.leader, PATIENCE);
    });

    it('hands over at once when it is stopped in order', async () => {
      const first = await start();
      await waitFor(async () => (await first.readiness()).checks.leader, PATIENCE);
      const second = await start();
      await first.stop();
      const stoppedAt = performance.now();
      await waitFor(async () => (await second.readiness()).checks.leader, PATIENCE);
      expect(performance.now() - stoppedAt).toBeLessThan(6_000);
    });

    it('refuses a wait that is shorter than its floor, and says so', async () => {
      await start({ CONTROLLER_MIN_PROPAGATION_WAIT: '390s' });
      await create();
      await waitFor(async () => {
        const { conditions = [] } = await status();
        return conditions.some(
          ({ type, reason }) => type === 'Degraded' && reason === 'PropagationWaitTooShort',
        );
      }, PATIENCE);
      await expect(secret()).rejects.toThrow('404');
    });
  },
);
