import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, type Platform } from '../lib/platform.ts';
import { must, type Scenario } from '../lib/scenario.ts';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages?: readonly string[];
    }[];
  }[];
}

/** Test files that need an API server but no platform: their processes run beside the cluster. */
const SUITES: readonly { readonly what: string; readonly files: readonly string[] }[] = [
  {
    what: 'a controller killed in every phase, its leader too; fenced writes; leaks',
    files: ['services/controller/src/main.int.test.ts'],
  },
  {
    what: 'a watch that went silent heals and is counted; the resource refuses what is wrong',
    files: [
      'services/controller/src/runtime/informer.int.test.ts',
      'services/controller/src/reconcilers/signing-key/crd.int.test.ts',
    ],
  },
  {
    what: 'flags reach a service, with NATS and without',
    files: ['services/controller/src/reconcilers/feature-flags'],
  },
  { what: 'a thousand SigningKeys', files: ['services/controller/src/scale.int.test.ts'] },
  { what: 'the gates that ask the cluster', files: ['test/gonogo/cluster.test.ts'] },
];

/** The controller and the gates as processes outside, against the same API server. */
export const suites: Scenario = {
  name: 'suites',
  title: 'The controller from outside, where each moment can be held',
  run: async ({ platform, show }) => {
    for (const { what, files } of SUITES) {
      await show(what, () => runSuite(platform, files));
    }
  },
};

async function runSuite(platform: Platform, files: readonly string[]): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'arrakis-suite-'));
  const file = join(dir, 'report.json');
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  let said = '';
  try {
    said = await platform.kube
      .command(
        // What they measured they tell on the standard error.
        'sh',
        [
          ...['-c', 'exec "$0" "$@" 2>&1', process.execPath, vitest],
          'run',
          '--root',
          ROOT,
          '--reporter=default',
          '--reporter=json',
          `--outputFile.json=${file}`,
          ...files,
        ],
        { timeoutMs: 1_200_000, env: { TEST_KUBECONFIG: platform.kube.kubeconfig } },
      )
      // The report says it better than the exit code.
      .catch((error: unknown) => String(error));
    const report = JSON.parse(await readFile(file, 'utf8')) as Report;
    const failed = report.testResults.flatMap(({ message, assertionResults }) => [
      ...(assertionResults.length === 0 ? [message] : []),
      ...assertionResults
        .filter(({ status }) => status === 'failed')
        .map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages?.[0] ?? ''}`),
    ]);
    must(failed.length === 0, failed.join('\n').slice(0, 3000));
    must(report.numPassedTests > 0, `nothing ran: ${said.slice(-500)}`);
    must(report.numPendingTests === 0, `${report.numPendingTests} tests were skipped`);
    const figures = said.match(/^\[(?:scale|flags|informer)\].*$/gm) ?? [];
    return [`${report.numPassedTests} tests passed`, ...figures].join('\n');
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
