import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { ServiceStartError, spawnService, waitFor } from '@arrakis/testkit';
import { askAboutPayments } from './payments.ts';
import type { Stage } from './stage.ts';
import type { Scene } from './traffic.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
/** How a start fails that the process itself ended. */
const REFUSED = 'ended before it was ready';
/** Processes that start: more of them would only be in one another's way. */
const AT_ONCE = 4;

/** Each thing that the services lean on goes away under load and comes back. */
export async function breakThings({ talker, stage }: Scene): Promise<void> {
  const { wires, vendor } = stage;
  const everything = (): Promise<unknown> =>
    Promise.all([
      talker.say(talker.inference()),
      talker.say(talker.inference({ stream: true })),
      talker.say(talker.chat({ stream: true })),
      talker.say({ path: '/api/v1/balance' }),
      talker.say({ path: '/v1/models' }),
      ...askAboutPayments(talker, stage),
    ]);
  for (const name of ['postgres', 'redis', 'nats', 'finn'] as const) {
    await wires[name].cut();
    await everything();
    await stage.look();
    await wires[name].restore();
    await recovered({ talker, stage });
  }
  // In the middle of answers, too.
  for (const name of ['finn', 'postgres'] as const) {
    vendor.script('fake-model', { steps: ['Well', { hold: true }, 'then'] });
    const asking = everything();
    await waitFor(() => vendor.holding >= 3, { timeoutMs: 20_000 });
    await stage.look();
    await wires[name].cut();
    vendor.release();
    await asking;
    await wires[name].restore();
    vendor.script('fake-model', {});
    await recovered({ talker, stage });
  }
  await stage.system.process('finn-1').kill('SIGKILL');
  await everything();
  await stage.restart('finn-1');
  await recovered({ talker, stage });
}

async function recovered({ talker }: Scene): Promise<void> {
  await waitFor(async () => (await talker.say(talker.inference())).status === 200, {
    timeoutMs: 40_000,
    intervalMs: 250,
    what: 'an answer after an outage',
  });
}

/** Every process is asked to end while answers are under way. */
export async function drain({ talker, stage }: Scene): Promise<void> {
  const { vendor, system } = stage;
  vendor.script('fake-model', { steps: ['Well', { hold: true }, ' then', ' bye'] });
  const asking = [talker.inference({ stream: true }), talker.chat({ stream: true }), talker.chat()];
  const answers = Promise.all(asking.map((request) => talker.say(request)));
  await waitFor(() => vendor.holding === asking.length, { timeoutMs: 20_000 });
  await stage.look();
  for (const { name } of system.members) system.process(name).signal('SIGTERM');
  await talker.say(talker.inference());
  vendor.release();
  await answers;
  await Promise.all(system.members.map(({ name }) => system.process(name).exited));
}

/** What a process says that refuses to start, for each secret that is given in a wrong form. */
export async function refuseToStart(stage: Stage): Promise<string[]> {
  const said = (name: string): string => stage.canaries.text(`refused ${name}`, 'secret');
  const freeside = join(ROOT, 'services/freeside/src/main.ts');
  const finn = join(ROOT, 'services/finn/src/main.ts');
  const base = {
    DATABASE_URL: 'postgres://a:b@127.0.0.1:9/c',
    REDIS_URL: 'redis://127.0.0.1:9',
    NATS_URL: 'nats://127.0.0.1:9',
    API_KEY_PEPPER: `1:${randomBytes(32).toString('base64')}`,
    FREESIDE_PORT: '0',
    FREESIDE_ADMIN_PORT: '0',
    FINN_PORT: '0',
    FINN_ADMIN_PORT: '0',
  };
  const wrong: readonly [string, string, string, string][] = [
    [freeside, 'api', 'DATABASE_URL', `nonsense:${said('database')}`],
    [freeside, 'api', 'API_KEY_PEPPER', `1:${said('pepper')}`],
    [freeside, 'api', 'API_KEY_PEPPER', said('pepper without version')],
    [freeside, 'worker', 'NATS_URL', `http://u:${said('nats')}@127.0.0.1`],
    [freeside, 'api', 'DATABASE_URL', `postgres://u:${said('long')}${'x'.repeat(3000)}@h/d`],
    [freeside, 'api', 'FREESIDE_PORT', said('port')],
    [freeside, 'api', 'NOWPAYMENTS_API_KEY', said('vendor key without secret')],
    [freeside, 'worker', 'NOWPAYMENTS_IPN_SECRET', `${said('long')}${'x'.repeat(300)}`],
    [freeside, 'api', 'NOWPAYMENTS_BASE_URL', `https://h/${said('vendor URL')}`],
    [freeside, 'worker', 'OTEL_EXPORTER_OTLP_ENDPOINT', `http://u:${said('collector')}@h`],
    [finn, '', 'DATABASE_URL', `nonsense:${said('database of finn')}`],
    [finn, '', 'REDIS_URL', `http://:${said('redis')}@127.0.0.1`],
    [finn, '', 'NATS_URL', `http://u:${said('nats of finn')}@127.0.0.1`],
    [finn, '', 'JWKS_URL', said('jwks url')],
  ];
  const refuse = async ([entry, role, name, value]: (typeof wrong)[number]): Promise<string> => {
    const args = role === '' ? [] : [role];
    const env = { ...base, [name]: value };
    const readyUrl = 'http://127.0.0.1:9/readyz';
    try {
      const started = await spawnService({ entry, args, env, readyUrl, readyTimeoutMs: 60_000 });
      await started.stop();
      return '';
    } catch (error) {
      // One that only is not up yet has refused nothing and said nothing.
      if (!(error instanceof ServiceStartError) || !error.message.includes(REFUSED)) throw error;
      return `${name}\n${error.message}`;
    }
  };
  const refusals: string[] = [];
  for (let first = 0; first < wrong.length; first += AT_ONCE) {
    refusals.push(...(await Promise.all(wrong.slice(first, first + AT_ONCE).map(refuse))));
  }
  return refusals;
}

/** Our commands with secrets that don't work, and with secrets where none belong. */
export async function misuseCommands(stage: Stage): Promise<void> {
  const { canaries, database } = stage;
  const said = (name: string): string => canaries.text(`command: ${name}`, 'secret');
  const wrongPassword = new URL(database.migratorUrl);
  wrongPassword.password = said('password');
  const urls = [
    wrongPassword.href,
    `postgres://u:${said('unreachable')}@127.0.0.1:9/d`,
    `nonsense:${said('no URL')}`,
  ];
  const keys = 'scripts/keys/api-key.ts';
  for (const DATABASE_URL of urls) {
    await stage.command(keys, ['list'], { DATABASE_URL });
    await stage.command('scripts/keys/s2s.ts', ['list'], { DATABASE_URL });
    await stage.command('scripts/migrate.ts', ['status'], { DATABASE_URL });
    await stage.command('scripts/seed.ts', [], { DATABASE_URL });
    await stage.command('scripts/payments.ts', ['list'], { DATABASE_URL });
    await stage.command('scripts/audit.ts', ['export'], { DATABASE_URL });
  }
  const owner = ['--community', 'demo', '--user', 'Demo Developer'];
  await stage.command(keys, ['create', ...owner], { API_KEY_PEPPER: `1:${said('pepper')}` });
  const key = `lf_live_${'b3'.repeat(6)}_${said('key as an argument')}`;
  await stage.command(keys, ['revoke', key]);
  await stage.command(keys, ['create', ...owner, '--name', 'x', `--key=${key}`]);
}
