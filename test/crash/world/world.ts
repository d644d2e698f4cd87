import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { POOLS } from '@arrakis/contracts';
import { createPool } from '@arrakis/postgres';
import { createTestDatabase, startOwnBackends } from '@arrakis/testkit';
import type pg from 'pg';
import {
  createSystem,
  type ServiceKind,
  type System,
  type SystemOptions,
} from '../../support/system.ts';
import type { ApiReplica, ProviderHandle, World, WorldOptions } from '../types.ts';
import { controlBackends, type BackendControl } from './backend-control.ts';
import { startBalancer, type Balancer } from './balancer.ts';
import { makeCommunities, planCommunities } from './communities.ts';
import { startShop, type RunningShop } from './shop.ts';
import { openUsageWire } from './usage-wire.ts';
import type { WireName } from './wire-names.ts';
import { startWires, type Wires } from './wires.ts';

/** A world with the means to break it. */
export interface BreakableWorld extends World {
  readonly wires: Wires;
  readonly control: BackendControl;
  /** Superuser, the world's database. */
  readonly adminUrl: string;
}

const REPLICAS = { api: 2, finn: 2, worker: 1 } as const;

/** Shorter than in production, so that what a dead wire swallowed is given up within a short run. */
const SHORT_PATIENCE: SystemOptions['env'] = {
  api: { FINN_TOTAL_TIMEOUT_MS: '15000', FINN_IDLE_TIMEOUT_MS: '6000' },
  finn: { PROVIDER_TOTAL_TIMEOUT_MS: '12000', PROVIDER_IDLE_TIMEOUT_MS: '4000' },
};

/** What to undo, newest first. */
class Undo {
  readonly #steps: (() => Promise<unknown>)[] = [];

  add<T>(value: T, step: (value: T) => Promise<unknown>): T {
    this.#steps.unshift(() => step(value));
    return value;
  }

  async run(): Promise<void> {
    for (const step of this.#steps.splice(0)) await step().catch(() => undefined);
  }
}

/**
 * Starts everything: backends of its own, two apis and two finns behind balancers, a worker, a fake
 * provider, a fake payment vendor, and a relay on every wire. Several communities are funded and have keys.
 */
export async function startWorld(options: WorldOptions): Promise<BreakableWorld> {
  const undo = new Undo();
  try {
    return await build(options, undo);
  } catch (error) {
    await undo.run();
    throw error;
  }
}

async function build(options: WorldOptions, undo: Undo): Promise<BreakableWorld> {
  const dir = await makeDir(options, undo);
  const backends = await startOwnBackends({
    runDir: dir,
    durable: options.durable,
    onStarted: (server) => undo.add(server, (started) => started.stop()),
  });
  const control = undo.add(controlBackends(backends, options.durable), (c) => c.stopAll());
  const database = await createTestDatabase(backends);
  const auditDb = openAuditDb(database.migratorUrl, undo);
  for (const statement of options.sabotage?.sql ?? []) await auditDb.query(statement);
  const provider = undo.add(await options.startProvider(options.seed), (p) => p.close());
  const shop = undo.add(await startShop(), (open) => open.close());
  const finns = undo.add(await startBalancer(), (balancer) => balancer.close());
  const jwks = undo.add(await startBalancer(), (balancer) => balancer.close());
  const wires = undo.add(
    await startWires({
      postgres: backends.postgres.port,
      redis: backends.redis.port,
      nats: backends.nats.port,
      finn: finns.port,
      jwks: jwks.port,
    }),
    (all) => all.close(),
  );
  const system = undo.add(
    await createSystem({
      dir,
      database,
      redisUrl: backends.redisUrl,
      natsUrl: backends.natsUrl,
      pools: poolsOf(provider),
      vendorKey: provider.apiKey,
      replicas: options.replicas ?? REPLICAS,
      route: wires.route,
      env: environment(options, shop),
    }),
    (running) => stopAll(running),
  );
  const plans = options.communities ?? planCommunities(options.seed);
  const communities = await makeCommunities(auditDb, system, plans);
  serve(system, finns, jwks);
  const apis = clientSides(system, wires);
  shop.serve(apis);
  await system.start();
  const usage = undo.add(await openUsageWire(backends.natsUrl), (wire) => wire.close());
  return {
    seed: options.seed,
    system,
    apis,
    communities,
    backends,
    auditDb,
    provider,
    usage,
    shop,
    wires,
    control,
    adminUrl: database.adminUrl,
    stop: () => undo.run(),
  };
}

async function makeDir(options: WorldOptions, undo: Undo): Promise<string> {
  if (options.dir === undefined) {
    const dir = await mkdtemp(join(tmpdir(), 'arrakis-crash-'));
    undo.add(dir, (made) => rm(made, { recursive: true, force: true }));
    // PostgreSQL's own user passes through; the secrets below it have their own modes.
    await chmod(dir, 0o711);
    return dir;
  }
  await mkdir(options.dir, { recursive: true });
  await chmod(options.dir, 0o711);
  return options.dir;
}

function openAuditDb(url: string, undo: Undo): pg.Pool {
  const pool = createPool({
    url,
    max: 6,
    applicationName: 'crash-audit',
    connectTimeoutMs: 2_000,
    onError: () => undefined,
  });
  return undo.add(pool, (open) => open.end());
}

/** The balancers know their members as soon as the ports are chosen; they look who is ready. */
function serve(system: System, finns: Balancer, jwks: Balancer): void {
  const members = (kind: ServiceKind): { name: string; url: string; adminUrl: string }[] =>
    system.members
      .filter((member) => member.kind === kind)
      .map(({ name, url, adminUrl }) => ({ name, url: url ?? '', adminUrl }));
  finns.serve(members('finn'));
  jwks.serve(members('api'));
}

function clientSides(system: System, wires: Wires): ApiReplica[] {
  return system.members
    .filter(({ kind }) => kind === 'api')
    .map(({ name, url }) => {
      const wire = wires.wire(`client->${name}` satisfies WireName);
      wire.retarget(Number(new URL(url ?? '').port));
      return { name, url: `http://${wire.host}:${String(wire.port)}` };
    });
}

function poolsOf(provider: ProviderHandle): SystemOptions['pools'] {
  return Object.fromEntries(
    POOLS.map((pool) => [
      pool,
      {
        targets: [
          {
            name: `fake-${pool}`,
            provider: 'openai-compatible',
            model: provider.models[pool],
            baseUrl: provider.baseUrl,
            apiKey: 'env:FAKE_VENDOR_KEY',
          },
        ],
      },
    ]),
  );
}

function environment(
  options: WorldOptions,
  { env }: RunningShop,
): NonNullable<SystemOptions['env']> {
  const of = (kind: ServiceKind): Record<string, string> => ({
    ...(options.durable ? {} : SHORT_PATIENCE?.[kind]),
    ...(kind === 'finn' ? {} : env),
    ...options.sabotage?.env?.[kind],
  });
  return { api: of('api'), finn: of('finn'), worker: of('worker') };
}

/** One that was left frozen can't end in good order. */
async function stopAll(system: System): Promise<void> {
  for (const { name } of system.members) system.process(name).signal('SIGCONT');
  await system.stop();
}
