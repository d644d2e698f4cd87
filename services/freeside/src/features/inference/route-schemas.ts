import { FieldError, LimitDetail, PROBLEMS, Problem } from '@arrakis/contracts';
import { Type, type TSchema } from 'typebox';

/** OpenAI's error envelope, with our additions. */
const OpenAiErrorBody = Type.Object({
  error: Type.Object({
    message: Type.String(),
    type: Type.String(),
    param: Type.Union([Type.String(), Type.Null()]),
    code: Type.Union([Type.String(), Type.Null()]),
    problem: Type.String(),
    errors: Type.Optional(Type.Array(FieldError)),
    limit: Type.Optional(LimitDetail),
  }),
  request_id: Type.String(),
});

const ENVELOPES = {
  problem: { mediaType: 'application/problem+json', schema: Problem },
  openai: { mediaType: 'application/json', schema: OpenAiErrorBody },
} as const;

/** Refusals that any route with an API key can meet. */
export const KEY_ERRORS = [400, 401, 403, 429, 431, 503] as const;

interface DocumentedResponse {
  readonly description: string;
  readonly content: Readonly<Record<string, { readonly schema: TSchema }>>;
}

/** The error answers of a route, for its response schemas. */
export function errorResponses(
  envelope: keyof typeof ENVELOPES,
  statuses: readonly number[],
): Record<number, DocumentedResponse> {
  const { mediaType, schema } = ENVELOPES[envelope];
  return Object.fromEntries(
    [...new Set(statuses)].map((status) => [
      status,
      { description: titlesOf(status), content: { [mediaType]: { schema } } },
    ]),
  );
}

function titlesOf(status: number): string {
  const titles = Object.entries(PROBLEMS)
    .filter(([, init]) => init.status === status)
    .map(([code, init]) => `\`${code}\`: ${init.title}.`);
  return titles.join('\n\n');
}

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
