import { context, propagation, trace } from '@opentelemetry/api';
import {
  getNodeAutoInstrumentations,
  type InstrumentationConfigMap,
} from '@opentelemetry/auto-instrumentations-node';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { installBackend } from '../spans.ts';
import type { Tracing, TracingLog, TracingOptions } from '../tracing-options.ts';
import { AllowlistExporter } from './allowlist-exporter.ts';
import { AsyncContextManager } from './context-manager.ts';
import { traceFastifyApps } from './fastify-spans.ts';
import { TraceparentPropagator } from './propagator.ts';
import { EdgeSampler } from './sampler.ts';
import { createSpanBackend } from './span-backend.ts';

/** Small batches: they are encoded in one go, and requests wait meanwhile. */
const BATCH = {
  maxExportBatchSize: 128,
  maxQueueSize: 2_048,
  scheduledDelayMillis: 1_000,
  exportTimeoutMillis: 6_000,
} as const;
/** For one export, its retries included. */
const EXPORT_TIMEOUT_MS = 5_000;
const CLOSE_DEADLINE_MS = 3_000;
/** A collector that is away fails every second: say so now and then. */
const WARN_INTERVAL_MS = 60_000;
const TRACES_PATH = '/v1/traces';
const HTTP_CLIENT = '@opentelemetry/instrumentation-undici';

type HttpClientInstrumentation = ReturnType<typeof getNodeAutoInstrumentations>[number];
type Options = TracingOptions & { readonly endpoint: string };

/** Everything that loads OpenTelemetry is behind this module. */
export function startOpenTelemetry(options: Options): Tracing {
  const provider = createProvider(options);
  context.setGlobalContextManager(new AsyncContextManager());
  propagation.setGlobalPropagator(new TraceparentPropagator());
  trace.setGlobalTracerProvider(provider);
  const tracer = provider.getTracer('arrakis');
  installBackend(createSpanBackend(tracer));
  const stopApps = traceFastifyApps(tracer);
  const httpClient = instrumentHttpClient(provider);
  options.logger.info({ sampleRatio: options.sampleRatio }, 'tracing is on');
  const close = async (): Promise<void> => {
    stopApps();
    httpClient.disable();
    installBackend(undefined);
    await shutDown(provider);
  };
  return {
    close,
    with: (service) => ({
      ...service,
      async close() {
        await service.close();
        await close();
      },
    }),
  };
}

async function shutDown(provider: TracerProvider): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), CLOSE_DEADLINE_MS);
  await Promise.race([provider.shutdown().catch(() => undefined), late]);
  clearTimeout(timer);
}

function createProvider(options: Options): TracerProvider {
  const exporter = new AllowlistExporter({
    exporter: new OTLPTraceExporter({
      url: options.endpoint.replace(/\/+$/, '') + TRACES_PATH,
      timeoutMillis: EXPORT_TIMEOUT_MS,
      concurrencyLimit: 4,
    }),
    onFailed: createFailureLog(options.logger),
  });
  return new TracerProvider({
    sampler: new EdgeSampler({
      ratio: options.sampleRatio,
      trustsCallers: options.trustsCallers,
      random: Math.random,
    }),
    // No detectors: they read the environment, the command line and the host's name.
    resource: resourceFromAttributes({
      'service.name': options.service,
      'service.version': options.version,
    }),
    spanProcessors: [new BatchSpanProcessor({ exporter, ...BATCH })],
  });
}

/** Spans of what undici sends, and the trace's context in its headers. */
function instrumentHttpClient(provider: TracerProvider): HttpClientInstrumentation {
  const [httpClient, ...others] = getNodeAutoInstrumentations(onlyHttpClient());
  if (httpClient?.instrumentationName !== HTTP_CLIENT || others.length > 0) {
    throw new Error('the undici instrumentation is not the only one');
  }
  httpClient.setTracerProvider(provider);
  return httpClient;
}

/** What isn't configured would be enabled, and patched, by default: so everything else is off. */
function onlyHttpClient(): InstrumentationConfigMap {
  const settings = { [HTTP_CLIENT]: { enabled: true, requireParentforSpans: true } };
  return new Proxy<InstrumentationConfigMap>(settings, {
    get: (configured, name) =>
      (Reflect.get(configured, name) as object | undefined) ?? { enabled: false },
  });
}

function createFailureLog(logger: TracingLog): (code: string) => void {
  let warnedAtMs = -Infinity;
  let failedExports = 0;
  return (code) => {
    failedExports += 1;
    if (performance.now() - warnedAtMs < WARN_INTERVAL_MS) return;
    warnedAtMs = performance.now();
    logger.warn({ code, failedExports }, 'spans cannot be exported');
    failedExports = 0;
  };
}
