import type { Tracing, TracingOptions } from './tracing-options.ts';

const OFF: Tracing = { close: () => Promise.resolve(), with: (service) => service };

/**
 * Starts tracing, or does nothing at all: OpenTelemetry is loaded only when there is an endpoint.
 * Before the HTTP app is made, because it is told of new apps only.
 */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const { endpoint } = options;
  if (endpoint === undefined) return OFF;
  const { startOpenTelemetry } = await import('./otel/open-telemetry.ts');
  return startOpenTelemetry({ ...options, endpoint });
}
