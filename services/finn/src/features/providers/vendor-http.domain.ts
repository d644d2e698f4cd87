import { ProviderError } from './provider.domain.ts';

/** A vendor asking for a longer pause than this is treated as asking for this. */
const MAX_RETRY_AFTER_MS = 60 * 60 * 1000;

const NOT_CONNECTED = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);
const SILENT = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);
const NOT_HTTP = new Set(['UND_ERR_HEADERS_OVERFLOW', 'UND_ERR_RES_EXCEEDED_MAX_SIZE']);

/** How far the exchange had come when it failed. */
export type Phase = 'connecting' | 'waiting' | 'streaming';

/** The failure that an HTTP status other than 200 stands for. The body is never looked at. */
export function statusError(
  status: number,
  headers: Readonly<Record<string, string | string[] | undefined>> = {},
  nowMs = 0,
): ProviderError {
  const message = `the provider answered ${String(status)}`;
  if (status === 401 || status === 403) return new ProviderError('unauthorized', message);
  if (status === 408) return new ProviderError('timeout', message);
  if (status === 429) {
    const retryAfterMs = parseRetryAfter(headers, nowMs);
    return new ProviderError('rate_limited', message, { retryAfterMs });
  }
  if (status >= 500) {
    const retryAfterMs = parseRetryAfter(headers, nowMs);
    return new ProviderError('server_error', message, { retryAfterMs });
  }
  if (status >= 400) return new ProviderError('rejected', message);
  // Redirects are not followed: a key must not travel to another host.
  return new ProviderError('protocol_error', message);
}

/**
 * The failure that a transport error stands for. Only its code is kept: messages and properties
 * of socket errors name hosts and paths.
 */
export function transportError(error: unknown, phase: Phase): ProviderError {
  const code = codeOf(error);
  if (SILENT.has(code)) return new ProviderError('timeout', 'the provider fell silent');
  if (code.startsWith('HPE_') || NOT_HTTP.has(code)) {
    return new ProviderError('protocol_error', `the provider doesn't speak HTTP (${code})`);
  }
  if (phase === 'streaming') {
    return new ProviderError('protocol_error', `the provider cut the stream (${code})`);
  }
  if (NOT_CONNECTED.has(code) || phase === 'connecting') {
    return new ProviderError('connect_failed', `the provider can't be reached (${code})`);
  }
  return new ProviderError('server_error', `the provider closed the connection (${code})`);
}

function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return 'unknown';
}

/** `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3); OpenAI's `retry-after-ms` first. */
export function parseRetryAfter(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  nowMs: number,
): number | undefined {
  const exact = single(headers['retry-after-ms']);
  if (exact !== undefined && /^\d{1,12}$/.test(exact)) return bounded(Number(exact));
  const value = single(headers['retry-after'])?.trim();
  if (value === undefined) return undefined;
  if (/^\d{1,9}(?:\.\d+)?$/.test(value)) return bounded(Number(value) * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : bounded(date - nowMs);
}

function bounded(ms: number): number {
  return Math.ceil(Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS));
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** Where a vendor's API lies: the origin for the connections, and the path of one of its calls. */
export interface Endpoint {
  readonly origin: string;
  path(suffix: string): string;
}

/**
 * A base URL may have a path (`/v1`) and a query, which is kept on every call.
 *
 * @throws Error when it is no http(s) URL, or holds credentials: those belong into the key.
 */
export function parseEndpoint(baseUrl: string): Endpoint {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new Error('the base URL of a provider must be an http(s) URL');
  }
  if (url.username !== '' || url.password !== '') {
    throw new Error('the base URL of a provider must not hold credentials');
  }
  const prefix = url.pathname.replace(/\/+$/, '');
  return { origin: url.origin, path: (suffix) => `${prefix}${suffix}${url.search}` };
}
