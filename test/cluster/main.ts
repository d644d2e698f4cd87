import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runScript, say } from '../../scripts/lib/entry.ts';
import { writeWhole } from '../../scripts/lib/files.ts';
import { PlainError } from '../../scripts/lib/plain-error.ts';
import { buildImage, findCluster } from './lib/cluster.ts';
import { Platform, ROOT } from './lib/platform.ts';
import { runScenario, type Row } from './lib/scenario.ts';
import { renderTable } from './lib/table.ts';
import { SCENARIOS } from './scenarios/catalogue.ts';
import { install, uninstall } from './scenarios/install.ts';

const USAGE = `Usage: node test/cluster/main.ts [--only a,b] [--keep] [--on namespace] [--tag t] [--no-build] [--list]

Builds the image, installs the platform into a namespace of its own and shows what it promises there.
--only runs these scenarios (install and uninstall always run), --keep leaves the platform installed,
--on takes a platform that --keep left and installs none,
--no-build takes the image that the cluster has under the tag.
The cluster is TEST_KUBECONFIG's, else KUBECONFIG's, else a new one of kind's.
Exit code 0 when everything was shown; the table also goes to .arrakis/test-cluster.json.`;

await runScript('test-cluster', async () => {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      tag: { type: 'string', default: 'test-cluster' },
      namespace: { type: 'string', default: `arrakis-test-${randomBytes(2).toString('hex')}` },
      on: { type: 'string' },
      keep: { type: 'boolean', default: false },
      'no-build': { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    say(USAGE);
    return;
  }
  if (values.list) {
    SCENARIOS.forEach(({ name, title }) => say(`${name.padEnd(14)} ${title}`));
    return;
  }
  const chosen = choose(values.only, values.on === undefined);
  const beganAtMs = performance.now();
  const tell = (line: string): void => {
    const at = ((performance.now() - beganAtMs) / 1000).toFixed(0).padStart(5);
    process.stderr.write(`${at} s  ${line}\n`);
  };
  const cluster = await findCluster(tell);
  try {
    const isNew = values.on === undefined;
    if (isNew && !values['no-build']) await buildImage(values.tag, cluster, tell);
    const namespace = values.on ?? values.namespace;
    const { kubeconfig } = cluster;
    const platform = new Platform({ kubeconfig, namespace, tag: values.tag });
    const rows: Row[] = [];
    for (const scenario of chosen) {
      if (scenario === uninstall && values.keep) continue;
      tell(`== ${scenario.title}`);
      const shown = await runScenario(scenario, platform, tell);
      rows.push(...shown);
      // Without a platform there is nothing to show; what came of it is still removed.
      const isInstalled = scenario.name !== 'install' || shown.every(({ ok }) => ok);
      if (!isInstalled && !values.keep) {
        rows.push(...(await runScenario(uninstall, platform, tell)));
      }
      if (!isInstalled) break;
    }
    writeWhole(
      resolve(ROOT, '.arrakis/test-cluster.json'),
      `${JSON.stringify({ rows }, null, 2)}\n`,
    );
    say(renderTable(rows, new Map(SCENARIOS.map(({ name, title }) => [name, title]))));
    if (values.keep || !isNew) say(`Left installed: kubectl -n ${namespace} get pods`);
    if (rows.some(({ ok }) => !ok)) process.exitCode = 1;
  } finally {
    await cluster.close();
  }
});

function choose(only: string | undefined, withInstall: boolean): typeof SCENARIOS {
  if (only === undefined && withInstall) return SCENARIOS;
  const names = only?.split(',') ?? SCENARIOS.map(({ name }) => name);
  const stray = names.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (stray.length > 0) {
    throw new PlainError(`There is no scenario ${stray.join(', ')}.`, [
      `Say some of: ${SCENARIOS.map(({ name }) => name).join(', ')}`,
    ]);
  }
  const always = [install, uninstall];
  return SCENARIOS.filter((scenario) =>
    always.includes(scenario) ? withInstall : names.includes(scenario.name),
  );
}
