import { execFile } from 'node:child_process';
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { createPool, withTransaction } from '@arrakis/postgres';
import {
  createTestDatabase,
  createTestNats,
  createTestRedis,
  startFakeOpenAI,
  startOtlpCollector,
  startTcpRelay,
  type FakeOpenAI,
  type OtlpCollector,
  type SigningKey,
  type SpawnedService,
  type TcpRelay,
  type TestDatabase,
} from '@arrakis/testkit';
import { seedDemo } from '../../../scripts/lib/demo.ts';
import { createSystem, type ServiceName, type System } from '../../support/system.ts';
import { Canaries } from './canaries.ts';
import { readTree, tapNats, tapRedis, type Tap } from './exporters.ts';
import { startPaymentVendor, type PaymentVendor } from './payment-vendor.ts';
import { startVendorTrap, TRAP_MODES, type VendorTrap } from './vendor-trap.ts';

const ROOT = resolve(import.meta.dirname, '../../..');

/** The whole system, with something planted in every secret, and everything it says written down. */
export interface Stage {
  readonly canaries: Canaries;
  readonly system: System;
  readonly database: TestDatabase;
  readonly natsUrl: string;
  readonly vendor: FakeOpenAI;
  readonly trap: VendorTrap;
  readonly payments: PaymentVendor;
  readonly collector: OtlpCollector;
  readonly wires: Readonly<Record<Wire, TcpRelay>>;
  readonly taps: { readonly nats: Tap; readonly redis: Tap };
  /** Every process that ever ran, ended ones too. */
  readonly processes: readonly { readonly name: string; readonly process: SpawnedService }[];
  /** Whatever /metrics, /livez and /readyz said, each time they were asked. */
  readonly adminTexts: string[];
  /** What finn's spool held, each time it was looked at: it is rewritten as it goes. */
  readonly spools: Buffer[];
  readonly apiUrl: string;
  readonly finnUrl: string;
  /** With which freeside signs its tokens to finn. */
  readonly signingKey: SigningKey;
  readonly communityId: string;
  restart(name: ServiceName): Promise<SpawnedService>;
  /** @returns the key; its secret half is planted. */
  createApiKey(...flags: readonly string[]): Promise<string>;
  /** Runs one of our commands; a failure is a result. Its output is written down too. */
  command(script: string, args: readonly string[], env?: Record<string, string>): Promise<string>;
  readonly commandOutputs: string[];
  /** Writes down what the admin ports and the disk show now. */
  look(): Promise<void>;
  stop(): Promise<void>;
}

const WIRES = ['postgres', 'redis', 'nats', 'finn'] as const;
type Wire = (typeof WIRES)[number];

export async function setStage(): Promise<Stage> {
  const canaries = new Canaries();
  const dir = await mkdtemp(join(tmpdir(), 'arrakis-secrets-'));
  const [database, redis, nats, collector, trap, vendor] = await Promise.all([
    createTestDatabase(),
    createTestRedis(),
    createTestNats(),
    startOtlpCollector(),
    startVendorTrap(canaries.text("the trap's bait", 'secret', 'sk-live-')),
    startFakeOpenAI({
      apiKey: canaries.text("the vendor's key", 'secret', 'sk-proj-'),
      models: { 'fake-model': {} },
    }),
  ]);
  const communityId = await seed(database);
  const wires = await startWires();
  const taps = { nats: await tapNats(nats.url), redis: await tapRedis(redis.url) };
  const pepper = plantPasswords(canaries, database, [redis.url, nats.url]);
  const environment = plantEnvironment(canaries, collector.url);
  // Where the api listens is known when the system is there.
  const toApi = await startTcpRelay({ targetPort: 9 });
  const payments = await startPaymentVendor(canaries, `http://127.0.0.1:${String(toApi.port)}`);
  const freeside = { ...environment, ...payments.env, API_KEY_PEPPER: pepper };
  const system = await createSystem({
    dir,
    database,
    redisUrl: redis.url,
    natsUrl: nats.url,
    pools: poolsOf(vendor, trap),
    vendorKey: vendor.apiKey,
    route: (_from, to, url) => (isWired(to) ? through(wires[to], url) : url),
    env: {
      api: { ...freeside, FREESIDE_TRUSTED_PROXIES: '127.0.0.1' },
      worker: freeside,
      finn: environment,
    },
  });
  toApi.retarget(Number(new URL(urlOf(system, 'api-1')).port));
  const signingKey = await plantSigningKey(canaries, join(dir, 'keys'));
  const stage = assemble({
    ...{
      canaries,
      dir,
      database,
      natsUrl: nats.url,
      vendor,
      trap,
      payments,
      collector,
      wires,
      taps,
    },
    ...{ toApi, system, signingKey, communityId, pepper },
    drop: () => Promise.all([database.drop(), redis.drop(), nats.drop()]),
  });
  await stage.start();
  return stage;
}

async function seed(database: TestDatabase): Promise<string> {
  const onError = (): void => undefined;
  const url = database.migratorUrl;
  const db = createPool({ url, max: 1, applicationName: 'secrets-test', onError });
  const { communityId } = await withTransaction(db, seedDemo);
  await db.end();
  return communityId;
}

async function startWires(): Promise<Record<Wire, TcpRelay>> {
  // Where each one leads is known when the services are configured.
  const relays = await Promise.all(WIRES.map(() => startTcpRelay({ targetPort: 9 })));
  return Object.fromEntries(WIRES.map((name, index) => [name, relays[index]])) as Record<
    Wire,
    TcpRelay
  >;
}

function isWired(name: string): name is Wire {
  return (WIRES as readonly string[]).includes(name);
}

function through(relay: TcpRelay, url: string): string {
  const parsed = new URL(url);
  relay.retarget(Number(parsed.port));
  parsed.port = String(relay.port);
  return parsed.href;
}

function plantPasswords(
  canaries: Canaries,
  database: TestDatabase,
  urls: readonly string[],
): string {
  for (const role of ['migratorUrl', 'appUrl', 'finnUrl'] as const) {
    canaries.plant(`password in ${role}`, 'secret', new URL(database[role]).password);
  }
  for (const url of urls) {
    const { protocol, username, password } = new URL(url);
    // A token stands where the name of a user would.
    canaries.plant(`password in ${protocol}`, 'secret', password === '' ? username : password);
  }
  const pepper = randomBytes(32);
  canaries.plant('the pepper', 'secret', pepper.toString('base64'));
  canaries.plant('the pepper in hex', 'secret', pepper.toString('hex'));
  return `1:${pepper.toString('base64')}`;
}

/** Variables that nobody reads: only a dump of the whole environment could show them. */
function plantEnvironment(canaries: Canaries, otlpUrl: string): Record<string, string> {
  const names = ['AWS_SECRET_ACCESS_KEY', 'OPENAI_API_KEY', 'NPM_TOKEN', 'SESSION_SECRET'];
  return {
    LOG_LEVEL: 'trace',
    OTEL_EXPORTER_OTLP_ENDPOINT: otlpUrl,
    OTEL_TRACES_SAMPLER_ARG: '1',
    ...Object.fromEntries(names.map((name) => [name, canaries.text(name, 'secret')])),
  };
}

async function plantSigningKey(canaries: Canaries, dir: string): Promise<SigningKey> {
  const [file = ''] = (await readdir(dir)).filter((name) => name.endsWith('.pem'));
  const privatePem = await readFile(join(dir, file), 'utf8');
  const privateKey = createPrivateKey(privatePem);
  // Its second line lies behind the part that all keys of one curve share.
  canaries.plant('the signing key', 'secret', privatePem.split('\n')[2] ?? '');
  canaries.plant("the signing key's d", 'secret', privateKey.export({ format: 'jwk' }).d ?? '');
  const kid = file.slice(0, -'.pem'.length);
  const { x = '', y = '' } = createPublicKey(privatePem).export({ format: 'jwk' });
  const publicJwk = { kty: 'EC', crv: 'P-256', x, y, kid, alg: 'ES256', use: 'sig' } as const;
  return { kid, privatePem, privateKey, publicJwk };
}

function poolsOf(vendor: FakeOpenAI, trap: VendorTrap): Record<string, { targets: object[] }> {
  const target = (name: string, baseUrl: string): object => ({
    ...{ name, provider: 'openai-compatible', model: 'fake-model', baseUrl },
    apiKey: 'env:FAKE_VENDOR_KEY',
  });
  const good = { targets: [target('good', vendor.baseUrl)] };
  return {
    cheap: good,
    standard: good,
    reasoning: good,
    architect: good,
    flagship: { targets: TRAP_MODES.map((mode) => target(`trap-${mode}`, trap.baseUrl(mode))) },
  };
}

function urlOf(system: System, name: ServiceName): string {
  return system.members.find((member) => member.name === name)?.url ?? '';
}

type Parts = Pick<
  Stage,
  | 'canaries'
  | 'database'
  | 'natsUrl'
  | 'vendor'
  | 'trap'
  | 'payments'
  | 'collector'
  | 'wires'
  | 'taps'
  | 'system'
  | 'signingKey'
  | 'communityId'
> & {
  readonly dir: string;
  readonly pepper: string;
  readonly toApi: TcpRelay;
  readonly drop: () => Promise<unknown>;
};

function assemble(parts: Parts): Stage & { start(): Promise<void> } {
  const { canaries, system, database, dir } = parts;
  const processes: { name: string; process: SpawnedService }[] = [];
  const adminTexts: string[] = [];
  const spools: Buffer[] = [];
  const commandOutputs: string[] = [];
  const command: Stage['command'] = async (script, args, env = {}) => {
    const defaults = { DATABASE_URL: database.migratorUrl, API_KEY_PEPPER: parts.pepper };
    const ended = await promisify(execFile)(process.execPath, [join(ROOT, script), ...args], {
      env: { ...defaults, PATH: process.env.PATH ?? '', ...env },
    }).catch((error: unknown) => error as { stdout: string; stderr: string });
    commandOutputs.push(ended.stdout + ended.stderr);
    return ended.stdout + ended.stderr;
  };
  const look = async (): Promise<void> => {
    for (const { adminUrl } of system.members) {
      for (const path of ['/metrics', '/livez', '/readyz']) {
        const text = await fetch(adminUrl + path).then((response) => response.text());
        adminTexts.push(text);
      }
    }
    spools.push(await readTree(join(dir, 'spool-finn-1')));
  };
  return {
    ...parts,
    ...{ processes, adminTexts, spools, commandOutputs, command, look },
    apiUrl: urlOf(system, 'api-1'),
    finnUrl: urlOf(system, 'finn-1'),
    async start() {
      await system.start();
      for (const { name } of system.members)
        processes.push({ name, process: system.process(name) });
    },
    async restart(name) {
      const started = await system.restart(name);
      processes.push({ name, process: started });
      return started;
    },
    async createApiKey(...flags) {
      const owner = ['--community', 'demo', '--user', 'Demo Developer'];
      const args = ['create', ...owner, '--json', ...flags];
      const printed = await command('scripts/keys/api-key.ts', args);
      const key = /lf_(?:live|test)_[a-z2-7]{12}_[0-9A-Za-z]{32}/.exec(printed)?.[0];
      if (key === undefined) throw new Error(`no key in: ${printed.slice(0, 200)}`);
      // It is printed once, to whoever made it.
      commandOutputs.pop();
      return canaries.plant(`API key ${flags.join(' ')}`, 'secret', key, key.slice(-32));
    },
    async stop() {
      await system.stop();
      await Promise.all([parts.taps.nats.close(), parts.taps.redis.close()]);
      await Promise.all([parts.vendor.close(), parts.trap.close(), parts.payments.close()]);
      await parts.toApi.close();
      await Promise.all(Object.values(parts.wires).map((wire) => wire.close()));
      await parts.collector.close();
      await parts.drop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
