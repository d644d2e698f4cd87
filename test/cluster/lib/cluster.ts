import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { baseEnv, optionalEnv } from '../../../scripts/lib/env.ts';
import { PlainError } from '../../../scripts/lib/plain-error.ts';
import { hasCommand } from '../../../scripts/lib/run.ts';
import { runCommand } from './kube.ts';
import { ROOT } from './platform.ts';

export interface Cluster {
  readonly kubeconfig: string;
  /** Hands an image to the cluster; undefined when it pulls by itself. */
  readonly imageLoad: string | undefined;
  close(): Promise<void>;
}

type Tell = (line: string) => void;

/** Backends and the load generator, which kind's nodes can't be expected to have. */
const OTHER_IMAGES = ['postgres:18', 'redis:7', 'nats:2.15', 'pgbouncer:1', 'grafana/k6:1.8.1'];

/** @throws PlainError when there is none and none can be made. */
export async function findCluster(tell: Tell): Promise<Cluster> {
  for (const command of ['kubectl', 'helm']) {
    if (!(await hasCommand(command, baseEnv()))) {
      throw new PlainError(`${command} is not on PATH.`, [
        'docs/operations.md says what is needed.',
      ]);
    }
  }
  const kubeconfig = optionalEnv('TEST_KUBECONFIG') ?? optionalEnv('KUBECONFIG');
  if (kubeconfig === undefined) return createKind(tell);
  const env = { KUBECONFIG: kubeconfig };
  const context = (await runCommand('kubectl', ['config', 'current-context'], { env })).trim();
  tell(`the cluster of the context ${context}`);
  return { kubeconfig, imageLoad: optionalEnv('IMAGE_LOAD'), close: () => Promise.resolve() };
}

/** A cluster for this run alone. */
async function createKind(tell: Tell): Promise<Cluster> {
  if (!(await hasCommand('kind', baseEnv())) || !(await hasCommand('docker', baseEnv()))) {
    throw new PlainError('There is no cluster to test on.', [
      'Name one: KUBECONFIG=… make test-cluster (it needs its own image: IMAGE_LOAD says how it gets it)',
      'Or install kind and Docker, and a cluster is made for the run.',
    ]);
  }
  const dir = await mkdtemp(join(tmpdir(), 'arrakis-kind-'));
  const name = `arrakis-${process.pid}`;
  const kubeconfig = join(dir, 'kubeconfig');
  tell(`creating the kind cluster ${name}`);
  await runCommand(
    'kind',
    ['create', 'cluster', '--name', name, '--kubeconfig', kubeconfig, '--wait', '120s'],
    { timeoutMs: 600_000 },
  );
  const imageLoad = `kind load docker-image --name ${name}`;
  for (const image of OTHER_IMAGES) {
    const isHere = await runCommand('docker', ['image', 'inspect', image]).then(
      () => true,
      () => false,
    );
    // What is not here the nodes pull themselves.
    if (isHere) await runCommand('sh', ['-c', `${imageLoad} ${image}`], { timeoutMs: 300_000 });
  }
  return {
    kubeconfig,
    imageLoad,
    close: async () => {
      await runCommand('kind', ['delete', 'cluster', '--name', name], { timeoutMs: 120_000 });
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Builds the platform's image and hands it to the cluster. */
export async function buildImage(tag: string, cluster: Cluster, tell: Tell): Promise<void> {
  tell(`building arrakis/platform:${tag}`);
  const env: Record<string, string> = {};
  for (const name of ['DOCKER_HOST', 'NPM_REGISTRY', 'EXTRA_CA_CERT']) {
    const value = optionalEnv(name);
    if (value !== undefined) env[name] = value;
  }
  if (cluster.imageLoad !== undefined) env.IMAGE_LOAD = cluster.imageLoad;
  const script = resolve(ROOT, 'scripts/cluster/image.sh');
  await runCommand('sh', [script, tag], { timeoutMs: 1_200_000, env });
}
