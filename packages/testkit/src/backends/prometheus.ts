import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { locatePrometheus } from '../binaries/locate-prometheus.ts';
import type { Progress } from '../binaries/progress.ts';
import { startBackend, type BackendProcess } from './backend.ts';

export interface PrometheusOptions {
  /** Holds data, log and pid file. */
  readonly dir: string;
  /** `prometheus.yaml`; the rule files that it names are looked for beside it. */
  readonly configFile: string;
  readonly onProgress?: Progress | undefined;
}

export interface RunningPrometheus extends BackendProcess {
  readonly url: string;
}

/** Starts or adopts a Prometheus server on 127.0.0.1 that scrapes what its configuration says. */
export async function startPrometheus(options: PrometheusOptions): Promise<RunningPrometheus> {
  const { dir, configFile } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const { prometheus } = await locatePrometheus({ onProgress: options.onProgress });
  const urlFor = (port: number): string => `http://127.0.0.1:${String(port)}`;
  const backend = await startBackend({
    name: 'Prometheus',
    dir,
    pidFile: join(dir, 'prometheus.pid'),
    logFile: join(dir, 'prometheus.log'),
    ports: [{ port: undefined, setting: 'nothing: any free port is taken' }],
    readyTimeoutMs: 60_000,
    prepare: ([port = 0]) =>
      Promise.resolve({
        command: prometheus,
        args: [
          `--config.file=${configFile}`,
          `--storage.tsdb.path=${join(dir, 'data')}`,
          '--storage.tsdb.retention.time=1d',
          `--web.listen-address=127.0.0.1:${String(port)}`,
          '--log.level=warn',
        ],
        env: { LC_ALL: 'C', TZ: 'UTC' },
      }),
    probe: async ([port = 0]) => {
      const response = await fetch(`${urlFor(port)}/-/ready`);
      await response.body?.cancel();
      if (!response.ok) throw new Error(`answered ${String(response.status)}`);
    },
  });
  return { ...backend, url: urlFor(backend.ports[0] ?? 0) };
}
