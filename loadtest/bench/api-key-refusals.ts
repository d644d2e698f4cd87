import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool } from '@arrakis/postgres';
import { createTestDatabase, startOwnBackends, startReaper } from '@arrakis/testkit';
import {
  compare,
  makeKeys,
  serviceAlone,
  timeOverHttp,
  timeService,
} from '../../test/front/support/key-refusals.ts';
import { createSystem } from '../../test/support/system.ts';

/**
 * What refusing an API key costs, by why it is refused: an unknown prefix, a wrong secret, a revoked
 * key. `node loadtest/bench/api-key-refusals.ts [keys of each kind]`. In one process from the caches,
 * where only the computing counts, and by a query each; then over HTTP to a running api, a query
 * each. The kinds take turns in random order, so that whatever else the machine does hits them alike.
 * Judge by comparing: figures of different machines mean nothing to one another. The distance of two
 * distributions is Kolmogorov and Smirnov's; "by chance" is how likely one as large would be if they
 * were the same. From the caches a tenth of a microsecond already shows there, and drowns in the
 * noise of any network.
 */

const keysOfEach = Number(process.argv[2] ?? '2000');
const WARM_ROUNDS = 20_000;

const stops: (() => Promise<unknown>)[] = [];
const dir = await mkdtemp(join(tmpdir(), 'arrakis-bench-'));
await chmod(dir, 0o711);
const reaper = startReaper(dir);
try {
  const backends = await startOwnBackends({
    runDir: dir,
    durable: true,
    onStarted: (server) => stops.push(() => server.stop()),
  });
  const database = await createTestDatabase(backends);
  const [owner, app] = [database.migratorUrl, database.appUrl].map((url) =>
    createPool({ url, max: 2, applicationName: 'bench', onError: () => undefined }),
  );
  if (owner === undefined || app === undefined) throw new Error('unreachable');
  stops.unshift(
    () => owner.end(),
    () => app.end(),
  );

  const pepper = `1:${randomBytes(32).toString('base64')}`;
  const service = serviceAlone(app, pepper);
  const timings = await timeService(
    service,
    await makeKeys(owner, pepper, keysOfEach),
    WARM_ROUNDS,
  );
  await service.close();
  console.log(compare('from caches', timings.warm).lines.join('\n'));
  console.log(compare('by a query', timings.cold).lines.join('\n'));

  const system = await createSystem({
    dir,
    database,
    redisUrl: backends.redisUrl,
    natsUrl: backends.natsUrl,
    pools: {},
    vendorKey: '',
    replicas: { worker: 0 },
  });
  const api = system.members.find(({ kind }) => kind === 'api');
  stops.unshift(() => system.stop());
  await system.restart('api-1');
  const keys = await makeKeys(owner, pepper, keysOfEach);
  console.log(compare('over HTTP', await timeOverHttp(api?.url ?? '', keys)).lines.join('\n'));
} finally {
  for (const stop of stops) await stop();
  await reaper.dismiss();
  await rm(dir, { recursive: true, force: true });
}
