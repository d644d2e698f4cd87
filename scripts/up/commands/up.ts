import { DATABASE } from '../../lib/database.ts';
import { namesProvider } from '../../lib/pools.ts';
import { printGuide } from '../guide.ts';
import type { Report } from '../report.ts';
import { databaseUrl, serviceSpecs, type BackendUrls } from '../service-specs.ts';
import { choosePorts, HOST, makeFolders, url, type Folders, type Stack } from '../stack.ts';
import { readPorts, withLock, writePorts } from '../state.ts';
import { ensureNats, ensurePostgres, ensureRedis } from '../steps/backends.ts';
import { ensureDatabase, ensureDemo, type Demo } from '../steps/database.ts';
import { streamFirstAnswer } from '../steps/first-answer.ts';
import { checkMachine } from '../steps/machine.ts';
import { ensureModel, type Model } from '../steps/model.ts';
import { choosePaymentVendor } from '../steps/payment-vendor.ts';
import { writePools } from '../steps/pools.ts';
import { ensureSecrets, type LocalSecrets } from '../steps/secrets.ts';
import { ensureServices } from '../steps/services.ts';
import { ensureSigningKey } from '../steps/signing-key.ts';

/**
 * Brings everything up and shows that it works. Each step looks first and does only what is
 * missing, so that a second start takes seconds and one that was cut short goes on.
 */
export async function up(folders: Folders, report: Report): Promise<void> {
  makeFolders(folders);
  await withLock(folders, async () => {
    const remembered = readPorts(folders);
    const stack: Stack = { folders, ports: choosePorts(remembered) };
    await report.step('machine', () => checkMachine(stack, remembered === undefined));
    writePorts(folders, stack.ports);

    const secrets = await report.step('secrets', () => ensureSecrets(folders));
    const backends = await startBackends(stack, secrets, report);
    const demo = await prepareData(folders, backends, secrets, report);
    const model = await provideModel(folders, report);
    const pools = await report.step('answers from', () => writePools(folders, model));
    const vendor = await report.step('credits from', () => choosePaymentVendor(stack, secrets));
    const specs = serviceSpecs(stack, backends, secrets, { pools, vendor });
    const { started } = await report.step('services', (progress) =>
      ensureServices(folders, specs, progress),
    );
    const api = { url: url(stack.ports.freeside), key: demo.key };
    if (started > 0) await streamFirstAnswer(report, api);
    printGuide(report, stack, { demo, pools, vendor });
  });
}

interface Backends extends BackendUrls {
  /** As the superuser. */
  readonly adminUrl: string;
  readonly migratorUrl: string;
}

async function startBackends(
  stack: Stack,
  secrets: LocalSecrets,
  report: Report,
): Promise<Backends> {
  const adminUrl = await report.step('PostgreSQL', (progress) => ensurePostgres(stack, progress));
  const redis = await report.step('Redis', (progress) => ensureRedis(stack, progress));
  const nats = await report.step('NATS', (progress) => ensureNats(stack, progress));
  const database = `${HOST}:${String(stack.ports.postgres)}/${DATABASE}`;
  const migratorUrl = databaseUrl('migrator', secrets.migratorPassword, { database });
  return { adminUrl, migratorUrl, database, redis, nats };
}

async function prepareData(
  folders: Folders,
  { adminUrl, migratorUrl }: Backends,
  secrets: LocalSecrets,
  report: Report,
): Promise<Demo> {
  await report.step('database', (progress) =>
    ensureDatabase({ adminUrl, migratorUrl, secrets }, progress),
  );
  await report.step('signing key', () => ensureSigningKey(folders, migratorUrl));
  return report.step('demo', () => ensureDemo({ migratorUrl, folders, secrets }));
}

/** No local model is fetched where the environment names a provider. */
async function provideModel(folders: Folders, report: Report): Promise<Model> {
  if (namesProvider()) return { isThere: false, why: 'another provider is set' };
  return report.step('model', (progress) => ensureModel(folders, progress));
}
