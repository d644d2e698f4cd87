import { request } from 'node:http';
import type { CollectedSpan } from '@arrakis/testkit';
import { startPlatform, type Platform } from '../e2e/support/platform.ts';

type Env = Readonly<Record<string, string>>;

/** The whole system, all of its services with this environment added. */
export function startAll(env: Env): Promise<Platform> {
  const noting = {
    ...env,
    NODE_OPTIONS: `--import=${new URL('./loads.ts', import.meta.url).href}`,
  };
  return startPlatform({ api: noting, finn: noting, worker: noting });
}

export const SERVICES = ['api', 'finn', 'worker'] as const;

/** OpenTelemetry's packages that a service has loaded. */
export function loadedBy(platform: Platform, service: (typeof SERVICES)[number]): Set<string> {
  const lines = platform.services[service].stderr;
  return new Set(
    lines.filter((line) => line.startsWith('loads ')).map((line) => line.slice('loads '.length)),
  );
}

export interface Asked {
  readonly requestId: string;
  readonly status: number;
  readonly text: string;
}

/** A streamed chat completion; resolves at its end, however it ends. */
export async function ask(platform: Platform, headers: Env = {}, prompt = 'Hi'): Promise<Asked> {
  const response = await fetch(`${platform.apiUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${platform.apiKey}`,
      'content-type': 'application/json',
      ...headers,
    },
    body: JSON.stringify({
      model: 'market-scout',
      stream: true,
      messages: [{ role: 'user', content: prompt }],
    }),
  });
  const requestId = response.headers.get('x-request-id') ?? '';
  const text = await response.text().catch((error: unknown) => String(error));
  return { requestId, status: response.status, text };
}

/** The same, the body sent only when the server has taken the headers in; resolves at its end. */
export function askSlowly(platform: Platform, headers: Env): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const body = JSON.stringify({
    model: 'market-scout',
    messages: [{ role: 'user', content: 'Hi' }],
  });
  const asked = request(`${platform.apiUrl}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${platform.apiKey}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      expect: '100-continue',
      ...headers,
    },
  });
  asked.on('continue', () => asked.end(body));
  asked.on('response', (response) => {
    response.resume().on('end', () => resolve(response.statusCode ?? 0));
  });
  asked.on('error', reject);
  asked.flushHeaders();
  return promise;
}

/** The spans of one trace, each as `service kind name` with the same of its parent. */
export function treeOf(spans: readonly CollectedSpan[], traceId: string): Record<string, string> {
  const trace = spans.filter((span) => span.traceId === traceId);
  const nameOf = (span: CollectedSpan): string =>
    `${String(span.resource['service.name'])} ${span.kind} ${span.name}`;
  const byId = new Map(trace.map((span) => [span.spanId, nameOf(span)]));
  return Object.fromEntries(
    trace.map((span) => {
      const parent = span.parentSpanId ?? 'none';
      return [nameOf(span), byId.get(parent) ?? parent];
    }),
  );
}

export function named(
  spans: readonly CollectedSpan[],
  traceId: string,
  service: string,
  name: string,
): CollectedSpan | undefined {
  return spans.find(
    (span) =>
      span.traceId === traceId && span.name === name && span.resource['service.name'] === service,
  );
}
