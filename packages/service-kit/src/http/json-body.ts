import { TextDecoder } from 'node:util';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ProblemError } from '../problem-error.ts';
import { findBodyFault, type BodyBounds, type BodyFault } from './body-scan.ts';

type BodyDone = (error: Error | null, body?: unknown) => void;

/**
 * `application/json`, alone or with `charset=utf-8`. Everything else is refused before parsing, so
 * that no reading of the header can lead past the route's schema.
 */
const JSON_CONTENT_TYPE = /^application\/json(?: ?; ?charset=(?:utf-8|"utf-8"))?$/i;

export function isJsonContentType(value: string): boolean {
  return JSON_CONTENT_TYPE.test(value);
}

/**
 * Makes JSON the only body of the app: strict UTF-8, no `__proto__` or `constructor.prototype`,
 * bounded nesting and size, no text that cannot be stored, no name twice in one object.
 */
export function acceptOnlyJson(app: FastifyInstance, bounds: BodyBounds): void {
  // What could reach a prototype is refused below, by name.
  const parseJson = app.getDefaultJsonParser('ignore', 'ignore') as (
    request: FastifyRequest,
    text: string,
    done: BodyDone,
  ) => void;
  // One mark of the byte order is left to the JSON parser, which forgives it; a second one isn't.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    (request, raw, done) => {
      const text = decode(decoder, raw);
      if (text === undefined) {
        done(refusal('invalid_encoding', '/', 'must be valid UTF-8'));
        return;
      }
      parseJson(request, text, (error, body) => {
        if (error !== null) {
          done(error);
          return;
        }
        const fault = findBodyFault(text, body, bounds);
        if (fault === undefined) done(null, body);
        else done(bodyRefusal(fault, bounds));
      });
    },
  );
}

function decode(decoder: TextDecoder, raw: Buffer): string | undefined {
  try {
    return decoder.decode(raw);
  } catch {
    return undefined;
  }
}

function bodyRefusal(fault: BodyFault, bounds: BodyBounds): ProblemError {
  switch (fault.kind) {
    case 'encoding':
      return refusal(
        'invalid_encoding',
        fault.field,
        'must not contain NUL or unpaired surrogates',
      );
    case 'depth':
      return refusal(
        'invalid_request',
        fault.field,
        `must not be nested deeper than ${bounds.maxDepth}`,
      );
    case 'prototype':
      return refusal('invalid_request', fault.field, 'is not a known field');
    case 'repeated':
      return refusal('invalid_request', fault.field, 'must be given once');
    case 'size':
      return refusal('invalid_request', '/', `must hold at most ${bounds.maxValues} values`);
  }
}

function refusal(
  code: 'invalid_encoding' | 'invalid_request',
  field: string,
  reason: string,
): ProblemError {
  return new ProblemError({ code, errors: [{ field, reason }] });
}
