import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { JWKS_PATH } from '@arrakis/contracts';
import {
  findFreePort,
  spawnService,
  type ServiceOutput,
  type SpawnedService,
} from '@arrakis/testkit';

const ROOT = resolve(import.meta.dirname, '../..');

export type ServiceKind = 'api' | 'worker' | 'finn';
/** `api-1`, `finn-2`, ... */
export type ServiceName = `${ServiceKind}-${number}`;
export type Dependency = 'postgres' | 'redis' | 'nats' | 'finn' | 'jwks';

export interface SystemOptions {
  /** Where signing keys, spools and the pool file go; the caller makes and removes it. */
  readonly dir: string;
  readonly database: {
    readonly migratorUrl: string;
    readonly appUrl: string;
    readonly finnUrl: string;
  };
  readonly redisUrl: string;
  readonly natsUrl: string;
  /** The `pools` of finn's pool file; a key is given as `env:FAKE_VENDOR_KEY`. */
  readonly pools: Readonly<Record<string, { readonly targets: readonly object[] }>>;
  readonly vendorKey: string;
  /** One of each by default. */
  readonly replicas?: Partial<Record<ServiceKind, number>>;
  /** A wire in between: returns the URL that this service is to use for that dependency. */
  readonly route?: (from: ServiceName, to: Dependency, url: string) => string;
  /** Where each process's stdout goes; kept by default. */
  readonly output?: (name: ServiceName) => ServiceOutput;
  /** Added to the environment of each process of that kind. */
  readonly env?: Partial<Record<ServiceKind, Readonly<Record<string, string>>>>;
}

export interface SystemService {
  readonly name: ServiceName;
  readonly kind: ServiceKind;
  /** Public port; the worker has none. */
  readonly url: string | undefined;
  readonly adminUrl: string;
}

/** Our services as real processes over their real ports, as many of each as asked for. */
export interface System {
  readonly members: readonly SystemService[];
  /** The newest process of that name, running or ended. */
  process(name: ServiceName): SpawnedService;
  /** Starts all that don't run: apis first (finn asks them for keys), then finns and workers. */
  start(): Promise<void>;
  /** Starts one again after it ended, same ports and directories; resolves when it is ready. */
  restart(name: ServiceName): Promise<SpawnedService>;
  /** Runs one of our commands as an operator would and returns what it printed. */
  command(script: string, ...args: readonly string[]): Promise<string>;
  /** An API key of the community with limits that no test reaches. */
  createApiKey(community: string, user?: string): Promise<string>;
  stop(): Promise<void>;
}

interface Spec {
  readonly member: SystemService;
  readonly entry: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Prepares keys, ports and files; `start()` starts the processes. */
export async function createSystem(options: SystemOptions): Promise<System> {
  const pepper = `1:${randomBytes(32).toString('base64')}`;
  const poolsFile = join(options.dir, 'pools.json');
  await writeFile(poolsFile, JSON.stringify({ pools: options.pools }));
  const members = await chooseMembers(options.replicas ?? {});
  const specs = members.map((member) => specOf(member, { options, members, pepper, poolsFile }));
  const processes = new Map<ServiceName, SpawnedService>();

  const restart = async (name: ServiceName): Promise<SpawnedService> => {
    const spec = specs.find(({ member }) => member.name === name);
    if (spec === undefined) throw new Error(`no service ${name}`);
    const { entry, args, env, member } = spec;
    const started = await spawnService({
      entry,
      args,
      env,
      readyUrl: `${member.adminUrl}/readyz`,
      readyTimeoutMs: 60_000,
      output: options.output?.(name) ?? 'collect',
    });
    processes.set(name, started);
    return started;
  };
  const command = async (script: string, ...args: readonly string[]): Promise<string> => {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [join(ROOT, script), ...args],
      {
        env: {
          DATABASE_URL: options.database.migratorUrl,
          S2S_KEY_STORE_DIR: join(options.dir, 'keys'),
          API_KEY_PEPPER: pepper,
          NATS_URL: options.natsUrl,
          PATH: process.env.PATH ?? '',
        },
      },
    );
    return stdout + stderr;
  };
  await command('scripts/keys/s2s.ts', 'bootstrap');

  return {
    members,
    restart,
    command,
    process(name) {
      const found = processes.get(name);
      if (found === undefined) throw new Error(`${name} was never started`);
      return found;
    },
    async start() {
      const startAll = (kinds: readonly ServiceKind[]): Promise<unknown> =>
        Promise.all(
          members
            .filter(({ kind, name }) => kinds.includes(kind) && !processes.has(name))
            .map(({ name }) => restart(name)),
        );
      await startAll(['api']);
      await startAll(['finn', 'worker']);
    },
    async createApiKey(community, user = 'Demo Developer') {
      const created = await command(
        'scripts/keys/api-key.ts',
        ...['create', '--community', community, '--user', user, '--json'],
        ...['--rpm', '100000', '--tpd', '1000000000'],
      );
      const key = /lf_live_[a-z2-7]{12}_[0-9A-Za-z]{32}/.exec(created)?.[0];
      if (key === undefined) throw new Error(`no key in: ${created.slice(0, 200)}`);
      return key;
    },
    async stop() {
      await Promise.all([...processes.values()].map((service) => service.stop()));
    },
  };
}

async function chooseMembers(
  replicas: Partial<Record<ServiceKind, number>>,
): Promise<SystemService[]> {
  const members: SystemService[] = [];
  for (const kind of ['api', 'finn', 'worker'] as const) {
    for (let index = 1; index <= (replicas[kind] ?? 1); index += 1) {
      members.push({
        name: `${kind}-${index}`,
        kind,
        url: kind === 'worker' ? undefined : await freeUrl(),
        adminUrl: await freeUrl(),
      });
    }
  }
  return members;
}

async function freeUrl(): Promise<string> {
  return `http://127.0.0.1:${String(await findFreePort())}`;
}

interface Context {
  readonly options: SystemOptions;
  readonly members: readonly SystemService[];
  readonly pepper: string;
  readonly poolsFile: string;
}

function specOf(member: SystemService, context: Context): Spec {
  const { options } = context;
  const { kind, name } = member;
  const route = options.route ?? ((_from, _to, url) => url);
  const publicUrl = (of: ServiceKind): string =>
    context.members.find((other) => other.kind === of)?.url ?? '';
  const common = {
    NODE_ENV: 'test',
    LOG_LEVEL: 'info',
    DRAIN_DEADLINE_MS: '20000',
    NATS_URL: route(name, 'nats', options.natsUrl),
    ...options.env?.[kind],
  };
  if (kind === 'finn') {
    return {
      member,
      entry: join(ROOT, 'services/finn/src/main.ts'),
      args: [],
      env: {
        DATABASE_URL: route(name, 'postgres', options.database.finnUrl),
        REDIS_URL: route(name, 'redis', options.redisUrl),
        FINN_PORT: portOf(member.url),
        FINN_ADMIN_PORT: portOf(member.adminUrl),
        JWKS_URL: route(name, 'jwks', publicUrl('api') + JWKS_PATH),
        FINN_POOLS_FILE: context.poolsFile,
        FINN_SPOOL_DIR: join(options.dir, `spool-${name}`),
        FAKE_VENDOR_KEY: options.vendorKey,
        ...common,
      },
    };
  }
  return {
    member,
    entry: join(ROOT, 'services/freeside/src/main.ts'),
    args: [kind],
    env: {
      DATABASE_URL: route(name, 'postgres', options.database.appUrl),
      API_KEY_PEPPER: context.pepper,
      S2S_KEY_STORE_DIR: join(options.dir, 'keys'),
      FINN_URL: route(name, 'finn', publicUrl('finn')),
      ...(member.url === undefined ? {} : { FREESIDE_PORT: portOf(member.url) }),
      FREESIDE_ADMIN_PORT: portOf(member.adminUrl),
      ...common,
    },
  };
}

function portOf(url: string | undefined): string {
  return new URL(url ?? '').port;
}
