import http, { type Params, type Response } from 'k6/http';

/** The platform under load. Address and key come by the environment, never by the command line. */

const BASE_URL = (__ENV.BASE_URL ?? '').replace(/\/+$/, '');
const API_KEY = __ENV.API_KEY ?? '';

/** Longer than freeside's own limit for an answer, so that its word comes first. */
const TIMEOUT = '75s';

/** @param name of the flow; requests are told apart by it, not by their addresses. */
export function get(path: string, name: string): Response {
  return http.get(BASE_URL + path, params(name));
}

export function post(path: string, name: string, body: object): Response {
  return http.post(BASE_URL + path, JSON.stringify(body), params(name));
}

function params(name: string): Params {
  return {
    headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
    tags: { name },
    timeout: TIMEOUT,
  };
}

/** The body as a JSON object; an empty one when it is none. */
export function jsonOf(response: Response): Readonly<Record<string, unknown>> {
  try {
    const body: unknown = JSON.parse(response.body ?? '');
    return typeof body === 'object' && body !== null ? { ...body } : {};
  } catch {
    return {};
  }
}

/** k6 writes header names in its own way: `x-request-id` is `X-Request-Id` there. */
export function headerOf(response: Response, name: string): string {
  const found = Object.keys(response.headers).find((key) => key.toLowerCase() === name);
  return found === undefined ? '' : (response.headers[found] ?? '');
}
