import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { OwnBackends } from '@arrakis/testkit';
import { Pool } from 'undici';
import { startOtlpSink } from './contestants/otlp-sink.ts';
import { startOurs, type Ours } from './contestants/ours.ts';
import { cpuBetween, usageOf } from './lib/process-cpu.ts';
import { median } from './lib/statistics.ts';
import { withBackends } from './lib/with-backends.ts';

/**
 * What tracing costs a metered request in CPU time of api, finn and worker: off, at 10 %, at 100 %,
 * and for comparison what OpenTelemetry does by itself, at 10 %, when its automatic
 * instrumentations of HTTP, undici, pg and ioredis are loaded before the services.
 *
 * `node loadtest/bench/tracing.ts [requests a round] [rounds] [connections]`. The variants take turns
 * within each round; medians of the rounds. Linux only. Counted in requests and not in seconds, so
 * that every variant's code is equally warm however busy the machine is.
 */

const [requests = 1_000, rounds = 9, connections = 16] = process.argv.slice(2).map(Number);
const SERVICES = ['api', 'finn', 'worker'] as const;
const TOKENS = 16;
const WARM_UP_REQUESTS = 3_000;
const CALM_MS = 1_500;

type Env = Readonly<Record<string, string>>;
type Micros = Readonly<Record<string, number>>;

const BODY = {
  stream: true,
  max_tokens: 64,
  messages: [{ role: 'user', content: 'Why hold the worst case before asking the model?' }],
};

function variantsFor(endpoint: string): Readonly<Record<string, Env>> {
  const own = (ratio: string): Env => ({
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_TRACES_SAMPLER_ARG: ratio,
  });
  return {
    off: {},
    'at 10 %': own('0.1'),
    'at 100 %': own('1'),
    'automatic, at 10 %': {
      NODE_OPTIONS: '--import=@opentelemetry/auto-instrumentations-node/register',
      OTEL_TRACES_EXPORTER: 'otlp',
      OTEL_METRICS_EXPORTER: 'none',
      OTEL_LOGS_EXPORTER: 'none',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint}/v1/traces`,
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.1',
      OTEL_NODE_RESOURCE_DETECTORS: 'none',
      OTEL_NODE_ENABLED_INSTRUMENTATIONS: 'http,undici,pg,ioredis',
    },
  };
}

async function startProvider(): Promise<{ server: Server; baseUrl: string }> {
  const chunk = (delta: object, finish: string | null): string =>
    `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
  const answer = [
    ...Array.from({ length: TOKENS }, () => chunk({ content: ' word' }, null)),
    chunk({}, 'stop'),
    'data: [DONE]\n\n',
  ].join('');
  const server = createServer((request, response) => {
    request.resume();
    if (request.method === 'GET') response.end('{}');
    else response.writeHead(200, { 'content-type': 'text/event-stream' }).end(answer);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { server, baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` };
}

async function load(ours: Ours, count: number): Promise<void> {
  const { origin, path, headers, model } = ours.target;
  const pool = new Pool(origin, { connections });
  const body = JSON.stringify({ ...BODY, model });
  let left = count;
  let refused = 0;
  const caller = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const response = await pool.request({
        method: 'POST',
        path,
        headers: { ...headers, 'content-type': 'application/json' },
        body,
      });
      const text = await response.body.text();
      if (response.statusCode === 200 && text.includes('[DONE]')) continue;
      // On a machine that is busy elsewhere one is refused now and then; many would be another lane.
      refused += 1;
      if (refused > count / 100) throw new Error(`answered ${response.statusCode} ${text}`);
    }
  };
  await Promise.all(Array.from({ length: connections }, caller));
  await pool.close();
}

async function measure(ours: Ours): Promise<Micros> {
  const groups = Object.fromEntries(
    SERVICES.map((name) => [name, ours.processes[name] ?? Number.NaN]),
  );
  const before = await usageOf(groups);
  const began = performance.now();
  await load(ours, requests);
  const perSecond = (requests * 1000) / (performance.now() - began);
  // What comes after the answer is part of its price: settling, publishing, exporting.
  await new Promise((resolve) => setTimeout(resolve, CALM_MS));
  const spent = cpuBetween(before, await usageOf(groups));
  const each = Object.entries(spent).map(([name, ms]) => [name, (ms * 1000) / requests] as const);
  const total = each.reduce((sum, [, micros]) => sum + micros, 0);
  return { ...Object.fromEntries(each), total, perSecond };
}

function report(samples: ReadonlyMap<string, readonly Micros[]>): void {
  const of = (name: string, key: string): number =>
    median((samples.get(name) ?? []).map((sample) => sample[key] ?? Number.NaN));
  const baseline = of('off', 'total');
  console.log('tracing               api  finn  worker  total us   more   requests/s');
  for (const name of samples.keys()) {
    const columns = [...SERVICES, 'total'].map((key) => of(name, key).toFixed(0).padStart(6));
    const more = ((of(name, 'total') / baseline - 1) * 100).toFixed(0).padStart(5);
    const perSecond = of(name, 'perSecond').toFixed(0).padStart(8);
    console.log(`${name.padEnd(19)}${columns.join('')}   ${more} %  ${perSecond}`);
  }
}

async function run(backends: OwnBackends): Promise<void> {
  const sink = await startOtlpSink();
  const provider = await startProvider();
  const systems = new Map<string, Ours>();
  const samples = new Map<string, Micros[]>();
  try {
    for (const [name, env] of Object.entries(variantsFor(sink.url))) {
      const options = { providerBaseUrl: provider.baseUrl, backends };
      const ours = await startOurs({
        ...options,
        name: 'arrakis',
        env: { api: env, finn: env, worker: env },
      });
      systems.set(name, ours);
      samples.set(name, []);
      await load(ours, WARM_UP_REQUESTS);
    }
    for (let round = 0; round < rounds; round += 1) {
      for (const [name, ours] of systems) samples.get(name)?.push(await measure(ours));
    }
    report(samples);
    if (sink.exports === 0) throw new Error('nothing was traced: the figures mean nothing');
  } finally {
    for (const ours of systems.values()) await ours.stop();
    provider.server.closeAllConnections();
    provider.server.close();
    await sink.stop();
  }
}

await withBackends(run);
