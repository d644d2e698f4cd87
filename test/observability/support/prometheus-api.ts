/** An alert as Prometheus's API shows it. */
export interface ActiveAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

interface Answer<Data> {
  readonly status: string;
  readonly data: Data;
}

async function ask<Data>(url: string): Promise<Data> {
  const response = await fetch(url);
  const answer = (await response.json()) as Answer<Data>;
  if (answer.status !== 'success') throw new Error(`Prometheus refused ${url}`);
  return answer.data;
}

export async function readAlerts(url: string): Promise<readonly ActiveAlert[]> {
  return (await ask<{ alerts: ActiveAlert[] }>(`${url}/api/v1/alerts`)).alerts;
}

/** Jobs and whether their last scrape went well. */
export async function readTargets(
  url: string,
): Promise<readonly { readonly job: string; readonly health: string }[]> {
  const { activeTargets } = await ask<{
    activeTargets: { labels: { job: string }; health: string }[];
  }>(`${url}/api/v1/targets`);
  return activeTargets.map(({ labels, health }) => ({ job: labels.job, health }));
}

interface LoadedGroup {
  readonly rules: readonly {
    readonly name: string;
    readonly query: string;
    readonly health: string;
    readonly lastEvaluation: string;
  }[];
}

/** Every rule as Prometheus read it. `health` is `ok` once it was evaluated well. */
export async function readLoadedRules(url: string): Promise<LoadedGroup['rules']> {
  const { groups } = await ask<{ groups: LoadedGroup[] }>(`${url}/api/v1/rules`);
  return groups.flatMap(({ rules }) => rules);
}
