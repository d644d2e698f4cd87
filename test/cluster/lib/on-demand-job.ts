import { waitFor } from '@arrakis/testkit';
import type { Kube } from './kube.ts';
import { isTrue, type Condition } from './objects.ts';
import { must } from './scenario.ts';

export interface JobRun {
  /** The first container's. */
  readonly exitCode: number;
  readonly log: string;
}

interface Job {
  readonly spec: {
    readonly template: {
      readonly spec: { readonly containers: readonly { env?: EnvVariable[] }[] };
    };
  };
  readonly status?: { readonly conditions?: readonly Condition[] };
}

interface EnvVariable {
  readonly name: string;
  readonly value?: string;
}

interface JobPod {
  readonly status: {
    readonly containerStatuses?: readonly {
      readonly state: { readonly terminated?: { readonly exitCode: number } };
    }[];
  };
}

const TIMEOUT_MS = 300_000;
let runs = 0;

/**
 * Makes a Job from one of the chart's suspended CronJobs, with some of its variables changed, waits
 * for its end and removes it.
 */
export async function runJob(
  kube: Kube,
  cronJob: string,
  env: Readonly<Record<string, string>>,
): Promise<JobRun> {
  runs += 1;
  const name = `${cronJob}-${Date.now().toString(36)}-${runs}`;
  const made = await kube.kubectl([
    ...['create', 'job', name, `--from=cronjob/${cronJob}`],
    ...['--dry-run=client', '-o', 'json'],
  ]);
  await kube.apply(withEnv(JSON.parse(made) as Job, env));
  try {
    await waitFor(
      async () => {
        const conditions = (await kube.get<Job>('job', name)).status?.conditions;
        return isTrue(conditions, 'Complete') || isTrue(conditions, 'Failed');
      },
      { timeoutMs: TIMEOUT_MS, intervalMs: 500, what: `the Job ${name} ends` },
    );
    const [pod] = await kube.list<JobPod>('pods', '-l', `batch.kubernetes.io/job-name=${name}`);
    const exitCode = pod?.status.containerStatuses?.[0]?.state.terminated?.exitCode;
    must(exitCode !== undefined, `${name} has no pod that came to an end`);
    return { exitCode, log: await kube.kubectl(['logs', `job/${name}`]) };
  } finally {
    await kube.kubectl(['delete', 'job', name, '--cascade=foreground']);
  }
}

function withEnv(job: Job, env: Readonly<Record<string, string>>): Job {
  const changed = structuredClone(job);
  const [container] = changed.spec.template.spec.containers;
  must(container !== undefined, 'the CronJob has no container');
  const others = (container.env ?? []).filter(({ name }) => env[name] === undefined);
  container.env = [...others, ...Object.entries(env).map(([name, value]) => ({ name, value }))];
  return changed;
}
