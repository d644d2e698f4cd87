import type { TSchema } from 'typebox';

/** Refusals that any route with an API key can meet. */
export const KEY_ERRORS = [400, 401, 403, 429, 431, 503] as const;

const header = (description: string): object => ({ type: 'string', description, required: true });
const count = (description: string): object => ({ ...header(description), pattern: '^[0-9]+$' });

const ANSWER_HEADERS = {
  'X-Pool-Used': header('The pool that answered, at whose price the answer is charged.'),
  'X-RateLimit-Limit': count('Requests that the key may make a minute.'),
  'X-RateLimit-Remaining': count('Requests that are left of them.'),
  'X-RateLimit-Reset': count('When they are whole again, in Unix seconds.'),
  'X-RateLimit-Limit-Tokens': count('Tokens that the key may use a day.'),
  'X-RateLimit-Remaining-Tokens': count('Tokens that are left of them.'),
  'X-RateLimit-Reset-Tokens': header(
    "When they are whole again: Unix seconds, and on OpenAI's routes a duration such as `8h3m20s`.",
  ),
};

/** A success that is JSON, or a stream when the request asks for one. */
export function jsonOrStream(description: string, schema: TSchema, event: TSchema) {
  return {
    description,
    headers: ANSWER_HEADERS,
    content: {
      'application/json': { schema },
      'text/event-stream': { schema: event },
    },
  };
}

/** The security scheme of `/openapi.json`: an API key as bearer token. */
export const API_KEY = [{ apiKey: [] }];
