import { waitFor } from '@arrakis/testkit';
import { resolve } from 'node:path';
import { Kube } from './kube.ts';
import type { Pod } from './objects.ts';
import { restrictedPod } from './pods.ts';

export const ROOT = resolve(import.meta.dirname, '../../..');
export const CHART = resolve(ROOT, 'charts/platform');
const RELEASE = 'arrakis';
/** Two hundred dollars: more than any load here spends. */
const CREDITS_MICRO = 200_000_000;
/** A hold that its holder lost ends by its deadline, which a sweep has yet to find. */
const SETTLED_WITHIN_MS = 150_000;

export interface PlatformOptions {
  readonly kubeconfig: string;
  readonly namespace: string;
  readonly tag: string;
}

/** The installed platform, and a namespace beside it with a pod that may look at it from outside. */
export class Platform {
  readonly release = RELEASE;
  readonly kube: Kube;
  /** The namespace beside, which the platform takes for the monitoring's. */
  readonly beside: Kube;
  readonly tag: string;
  readonly image: string;
  readonly apiUrl: string;

  constructor({ kubeconfig, namespace, tag }: PlatformOptions) {
    this.kube = new Kube(kubeconfig, namespace);
    this.beside = this.kube.in(`${namespace}-beside`);
    this.tag = tag;
    this.image = `arrakis/platform:${tag}`;
    this.apiUrl = `http://${RELEASE}-freeside-api.${namespace}.svc:3000`;
  }

  /** What `helm install` and `helm upgrade` are told here; `more` comes on top. */
  helmArgs(more: readonly string[] = []): readonly string[] {
    return [
      RELEASE,
      CHART,
      ...['-f', `${CHART}/ci/kind-values.yaml`],
      ...['-f', resolve(ROOT, 'test/cluster/values.yaml')],
      ...['--set', `image.tag=${this.tag}`],
      ...[
        '--set',
        `networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=${this.beside.namespace}`,
      ],
      ...more,
    ];
  }

  /** The namespace beside: a member's API key with money behind it, and a pod that asks for us. */
  async prepareBeside(): Promise<void> {
    // Not by `exec`: a second run would make a second key.
    const key = await this.kube.kubectl([
      ...['exec', 'deploy/arrakis-freeside-api', '-c', 'freeside-api', '--'],
      ...['node', 'scripts/keys/api-key.ts', 'create', '--community', 'demo'],
      ...['--user', 'Demo Developer', '--rpm', '100000', '--tpd', '1000000000', '--json'],
    ]);
    const value = /lf_(?:live|test)_[a-z2-7]{12}_[0-9A-Za-z]{32}/.exec(key)?.[0];
    if (value === undefined) throw new Error('no API key was made');
    await this.beside.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'member-key' },
      stringData: { 'api-key': value },
    });
    await this.sql(
      `SELECT freeside.mint_lot(id, ${CREDITS_MICRO}, 'grant', 'test-cluster', NULL)
         FROM freeside.communities WHERE slug = 'demo'`,
    );
    await this.beside.apply(
      restrictedPod({
        name: 'probe',
        image: this.image,
        args: ['-e', 'process.on("SIGTERM", () => process.exit()); setInterval(() => {}, 1e9)'],
      }),
    );
    await this.beside.waitFor('pod/probe', 'condition=Ready');
  }

  /**
   * Rows of a query, each an array of texts, as the database's administrator. It may be run twice, as
   * any `exec`: what writes must be written so that the second time changes nothing.
   */
  async sql(query: string): Promise<string[][]> {
    const out = await this.kube.exec([
      ...['statefulset/arrakis-postgres', '--'],
      ...['psql', '-U', 'postgres', '-d', 'arrakis', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-F', '\t'],
      ...['-c', query],
    ]);
    return out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t'));
  }

  /** Pods of a component, those on their way out excepted. */
  async pods(component: string): Promise<readonly Pod[]> {
    const selector = `app.kubernetes.io/instance=${RELEASE},app.kubernetes.io/component=${component}`;
    const pods = await this.kube.list<Pod>('pods', '-l', selector);
    return pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  /**
   * Asks several addresses at once, from the pod beside the platform.
   *
   * @returns status and text by address; status 0 where nobody answered.
   */
  async fetchAll(urls: readonly string[]): Promise<readonly Fetched[]> {
    const script = `const urls = ${JSON.stringify(urls)};
      console.log(JSON.stringify(await Promise.all(urls.map((url) =>
        fetch(url, { signal: AbortSignal.timeout(5000) })
          .then(async (response) => ({ url, status: response.status, text: await response.text() }))
          .catch((error) => ({ url, status: 0, text: String(error.cause ?? error) }))))))`;
    const args = ['probe', '--', 'node', '--input-type=module', '-e', script];
    return JSON.parse(await this.beside.exec(args)) as Fetched[];
  }

  /** The same page of the admin port of every pod of a component. */
  fetchAdmin(component: string, path: string): Promise<readonly Fetched[]> {
    return this.fetchAdmins([component], path);
  }

  /** The same of several components, by one `exec` for all of them. */
  async fetchAdmins(components: readonly string[], path: string): Promise<readonly Fetched[]> {
    const urls = components.map(async (component) => {
      const port = ADMIN_PORTS[component];
      const pods = await this.pods(component);
      return pods.map(({ status }) => `http://${status.podIP ?? 'none'}:${port ?? 0}${path}`);
    });
    return this.fetchAll((await Promise.all(urls)).flat());
  }

  /**
   * Sum of a metric over every pod of a component, by its text up to the value.
   *
   * @throws Error when a pod doesn't have it: what is not there must not pass for zero.
   */
  async metric(component: string, pattern: RegExp): Promise<number> {
    const pages = await this.fetchAdmin(component, '/metrics');
    const lines = pages.map(({ text }) =>
      text.split('\n').filter((line) => !line.startsWith('#') && pattern.test(line)),
    );
    if (lines.length === 0 || lines.some((found) => found.length === 0)) {
      throw new Error(`a pod of ${component} has no metric ${String(pattern)}`);
    }
    return lines
      .flat()
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  /**
   * Waits until every hold has found its end, and then asks whether the books balance.
   *
   * @returns what was checked. @throws Error with the equations that don't hold.
   */
  async mustBalance(): Promise<string> {
    await waitFor(
      async () => {
        const rows = await this.sql(
          `SELECT count(*) FROM freeside.budget_reservations WHERE status IN ('reserved', 'streaming')`,
        );
        return rows[0]?.[0] === '0';
      },
      { timeoutMs: SETTLED_WITHIN_MS, intervalMs: 500, what: 'every hold is settled' },
    );
    const rows = await this.sql(`SELECT equation, drift_micro FROM freeside.conservation_full`);
    const drifts = rows.filter(([, drift]) => drift !== '0');
    if (rows.length === 0 || drifts.length > 0) {
      throw new Error(
        `the books: ${drifts.map((row) => row.join(' off by ')).join(', ') || 'empty'}`,
      );
    }
    return `books balance (${rows.length} equations, no hold open)`;
  }
}

export interface Fetched {
  readonly url: string;
  readonly status: number;
  readonly text: string;
}

const ADMIN_PORTS: Readonly<Record<string, number>> = {
  'freeside-api': 9300,
  'freeside-worker': 9301,
  finn: 9302,
  controller: 9303,
};
