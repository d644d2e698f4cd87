import type { OwnBackends } from '@arrakis/testkit';
import type { ContestantGroup } from '../lib/options.ts';
import type { Contestant } from './contestant.ts';
import { startOtlpSink, type OtlpSink } from './otlp-sink.ts';
import { startOurs, type Ours, type OursOptions } from './ours.ts';
import { startPeer } from './peer.ts';
import { startProvider, type Provider } from './provider.ts';

const SAMPLING = '0.1';

export interface LineUp {
  readonly provider: Provider;
  readonly ours: Ours;
  /** The provider itself first. */
  readonly contestants: readonly Contestant[];
  /** @throws Error when a contestant did not do what it stands for */
  stop(): Promise<void>;
}

export interface LineUpOptions {
  readonly backends: OwnBackends;
  readonly groups: readonly ContestantGroup[];
  readonly cpuProfileDir: string | undefined;
  /** Where the logs of our services go. */
  readonly logDir: string | undefined;
  /** Root of another checkout of ours, to be compared with this one. */
  readonly variant: string | undefined;
  readonly progress: (line: string) => void;
}

/** Starts everyone who takes part; all stay up, and all but one are idle at a time. */
export async function startLineUp(options: LineUpOptions): Promise<LineUp> {
  const { backends, groups, progress, logDir } = options;
  const provider = await startProvider();
  const common = { providerBaseUrl: provider.baseUrl, backends, logDir };
  const contestants: Contestant[] = [provider];
  if (groups.includes('peer')) {
    progress('starting the peer');
    contestants.push(await startPeer(provider.baseUrl));
  }
  progress('starting ours');
  const env = forAll(profileEnv(options.cpuProfileDir));
  const ours = await startOurs({ ...common, name: 'arrakis', env });
  contestants.push(ours);
  if (options.variant !== undefined) {
    progress(`starting the variant in ${options.variant}`);
    const checkout = options.variant;
    contestants.push(await startOurs({ ...common, name: 'variant', checkout }));
  }
  let sink: OtlpSink | undefined;
  if (groups.includes('tracing')) {
    progress('starting ours with tracing');
    sink = await startOtlpSink();
    const env = forAll({
      OTEL_EXPORTER_OTLP_ENDPOINT: sink.url,
      OTEL_TRACES_SAMPLER_ARG: SAMPLING,
    });
    contestants.push(await startOurs({ ...common, name: 'arrakis+tracing', env }));
  }
  return {
    provider,
    ours,
    contestants,
    stop: async () => {
      for (const contestant of [...contestants].reverse()) await contestant.stop();
      await sink?.stop();
      if (sink?.exports === 0) throw new Error('the contestant with tracing exported nothing');
    },
  };
}

function forAll(env: Record<string, string>): NonNullable<OursOptions['env']> {
  return { api: env, finn: env, worker: env };
}

function profileEnv(dir: string | undefined): Record<string, string> {
  return dir === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${dir}` };
}
