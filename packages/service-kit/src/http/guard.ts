import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { ProblemError } from '../problem-error.ts';
import { isJsonContentType } from './json-body.ts';

const METHODS_WITHOUT_BODY = new Set(['GET', 'HEAD', 'TRACE']);
/** Of these a second one is dropped by Node, and which one counts would be anyone's guess. */
const SINGLE_HEADERS = new Map([
  ['host'.length, 'host'],
  ['content-type'.length, 'content-type'],
  ['authorization'.length, 'authorization'],
]);
const ENCODED_NUL = '%00';

/** A name or address with an optional port; anything else is how two parsers come to disagree. */
const HOST = /^[\w.~!$&'()*+,;=%:[\]-]*$/;
const CHUNKED = 'chunked';
const SLASH = '/'.charCodeAt(0);

/**
 * What could make another server on the way see other requests in these bytes than we do: a version
 * that isn't ours, a transfer coding beside `chunked` (Node takes any list that ends with it), a
 * target with a host of its own, a host that is none. The connection closes with the refusal, since
 * nobody can tell where the next request on it begins.
 */
export function findFramingFault(raw: IncomingMessage): ProblemError | undefined {
  const { headers, httpVersionMajor, url = '' } = raw;
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && coding.toLowerCase() !== CHUNKED) {
    return framingFault('header:transfer-encoding', 'must be "chunked" where it is given');
  }
  if (httpVersionMajor !== 1) return framingFault('version', 'must be HTTP/1.0 or HTTP/1.1');
  if (url.charCodeAt(0) !== SLASH && url !== '*') {
    return framingFault('path', 'must begin with "/"');
  }
  const { host } = headers;
  return host === undefined || HOST.test(host)
    ? undefined
    : framingFault('header:host', 'must be a host and an optional port');
}

function framingFault(field: string, reason: string): ProblemError {
  return new ProblemError({
    code: 'invalid_request',
    errors: [{ field, reason }],
    headers: { connection: 'close' },
  });
}

/**
 * What is wrong with a request before its body is read, if anything: NUL in the URL, no host, a
 * header given twice, an expectation that isn't met, a body that is not declared as plain JSON.
 */
export function findHeadFault(request: FastifyRequest): ProblemError | undefined {
  const { raw } = request;
  const url = raw.url ?? '';
  if (url.includes(ENCODED_NUL)) return nulInUrl(url);
  if (raw.httpVersion === '1.1' && raw.headers.host === undefined) {
    return invalidHeader('host', 'is required');
  }
  const expectation = raw.headers.expect;
  if (expectation !== undefined && expectation.toLowerCase() !== '100-continue') {
    return invalidHeader('expect', 'must be "100-continue" where it is given');
  }
  const repeated = findRepeated(raw.rawHeaders);
  if (repeated === 'content-type') return new ProblemError({ code: 'unsupported_media_type' });
  if (repeated !== undefined) return invalidHeader(repeated, 'must be given once');
  return METHODS_WITHOUT_BODY.has(request.method) ? undefined : findTypeFault(raw.headers);
}

function findTypeFault(headers: IncomingHttpHeaders): ProblemError | undefined {
  const { 'content-type': type, 'content-encoding': encoding = 'identity' } = headers;
  if (encoding.toLowerCase() !== 'identity') {
    return new ProblemError({
      code: 'unsupported_media_type',
      errors: [{ field: 'header:content-encoding', reason: 'must be "identity" or absent' }],
      headers: { 'accept-encoding': 'identity' },
    });
  }
  if (type === undefined || isJsonContentType(type)) return undefined;
  return new ProblemError({ code: 'unsupported_media_type' });
}

function nulInUrl(url: string): ProblemError {
  const queryAt = url.indexOf('?');
  const inPath = queryAt === -1 || url.indexOf(ENCODED_NUL) < queryAt;
  return new ProblemError({
    code: 'invalid_encoding',
    errors: [{ field: inPath ? 'path' : 'query', reason: 'must not contain NUL' }],
  });
}

function invalidHeader(name: string, reason: string): ProblemError {
  return new ProblemError({
    code: 'invalid_request',
    errors: [{ field: `header:${name}`, reason }],
  });
}

/** `rawHeaders` alternates names and values. */
function findRepeated(rawHeaders: readonly string[]): string | undefined {
  let seen: Set<string> | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const raw = rawHeaders[index] ?? '';
    const name = SINGLE_HEADERS.get(raw.length);
    if (name === undefined || raw.toLowerCase() !== name) continue;
    if (seen?.has(name) === true) return name;
    (seen ??= new Set()).add(name);
  }
  return undefined;
}
