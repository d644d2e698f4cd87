import { describe, expect, test } from 'vitest';
import {
  parseEndpoint,
  parseRetryAfter,
  statusError,
  transportError,
} from './vendor-http.domain.ts';

describe('the failure of a status', () => {
  test.each([
    [400, 'rejected'],
    [401, 'unauthorized'],
    [403, 'unauthorized'],
    [404, 'rejected'],
    [408, 'timeout'],
    [422, 'rejected'],
    [429, 'rate_limited'],
    [500, 'server_error'],
    [529, 'server_error'],
    [302, 'protocol_error'],
    [204, 'protocol_error'],
  ])('%i is %s', (status, code) => {
    expect(statusError(status).code).toBe(code);
  });

  test('carries when to come again', () => {
    expect(statusError(429, { 'retry-after': '7' }).retryAfterMs).toBe(7000);
    expect(statusError(503, { 'retry-after-ms': '250', 'retry-after': '7' }).retryAfterMs).toBe(
      250,
    );
  });
});

describe('Retry-After', () => {
  const nowMs = Date.parse('2026-11-22T10:00:00Z');

  test('may be a date, is bounded, and is ignored when it is neither', () => {
    const date = 'Sun, 22 Nov 2026 10:00:30 GMT';
    expect(parseRetryAfter({ 'retry-after': date }, nowMs)).toBe(30_000);
    expect(parseRetryAfter({ 'retry-after': 'Sun, 22 Nov 2026 09:00:00 GMT' }, nowMs)).toBe(0);
    expect(parseRetryAfter({ 'retry-after': '999999999' }, nowMs)).toBe(3_600_000);
    expect(parseRetryAfter({ 'retry-after': 'soon' }, nowMs)).toBeUndefined();
    expect(parseRetryAfter({}, nowMs)).toBeUndefined();
  });
});

describe('the failure of the transport', () => {
  const failing = (code: string): Error =>
    Object.assign(new Error('https://secret-host/?key=sk-1'), { code });

  test('depends on how far the exchange had come', () => {
    expect(transportError(failing('ECONNREFUSED'), 'connecting').code).toBe('connect_failed');
    expect(transportError(failing('UND_ERR_CONNECT_TIMEOUT'), 'waiting').code).toBe(
      'connect_failed',
    );
    expect(transportError(failing('ECONNRESET'), 'waiting').code).toBe('server_error');
    expect(transportError(failing('ECONNRESET'), 'streaming').code).toBe('protocol_error');
    expect(transportError(failing('UND_ERR_BODY_TIMEOUT'), 'streaming').code).toBe('timeout');
    expect(transportError(failing('HPE_INVALID_CONSTANT'), 'waiting').code).toBe('protocol_error');
  });

  test('keeps nothing of the original message', () => {
    const error = transportError(failing('ECONNRESET'), 'waiting');
    expect(`${error.message} ${String(error.cause)}`).not.toContain('secret');
  });
});

describe('a base URL', () => {
  test('keeps its path and query on each call', () => {
    const endpoint = parseEndpoint('https://host.test/openai/v1/?api-version=2');
    expect(endpoint.origin).toBe('https://host.test');
    expect(endpoint.path('/chat/completions')).toBe('/openai/v1/chat/completions?api-version=2');
  });

  test('must be http(s) and hold no credentials, which an error never repeats', () => {
    expect(() => parseEndpoint('https://user:hunter2@host.test')).toThrow(/must not hold/);
    expect(() => parseEndpoint('ftp://host.test')).toThrow(/http/);
    expect(() => parseEndpoint('hunter2')).toThrow(/^(?!.*hunter2)/);
  });
});
