import { Type, type TSchema } from 'typebox';

/** Refusals that any route with an API key can meet. */
export const KEY_ERRORS = [400, 401, 403, 429, 431, 503] as const;

/** A success that is JSON, or a stream when the request asks for one. */
export function jsonOrStream(description: string, schema: TSchema, stream: string) {
  return {
    description,
    content: {
      'application/json': { schema },
      'text/event-stream': { schema: Type.String({ description: stream }) },
    },
  };
}

/** The security scheme of `/openapi.json`: an API key as bearer token. */
export const API_KEY = [{ apiKey: [] }];
