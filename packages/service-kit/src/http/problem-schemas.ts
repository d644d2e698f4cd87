import { FieldError, LimitDetail, PROBLEMS, Problem } from '@arrakis/contracts';
import type { FastifyInstance } from 'fastify';
import { Type, type TSchema } from 'typebox';
import type { Envelope } from '../problem-render.ts';

const reference = (name: string): TSchema => Type.Unsafe({ $ref: `${name}#` });

const FAULTS = {
  errors: Type.Optional(Type.Array(reference('FieldError'))),
  limit: Type.Optional(reference('LimitDetail')),
};

/** Between our services only. */
const INTERNAL: readonly string[] = ['invalid_token', 'reservation_used'];

/** What errors look like, each under the name by which an OpenAPI document refers to it. */
const SHARED = [
  Type.Enum(
    Object.keys(PROBLEMS).filter((code) => !INTERNAL.includes(code)),
    { $id: 'ProblemCode', type: 'string', description: 'What went wrong: a closed table.' },
  ),
  Type.Object(FieldError.properties, {
    $id: 'FieldError',
    description: 'Where in the request the fault lies (a JSON pointer or `header:name`), and why.',
  }),
  Type.Object(LimitDetail.properties, {
    $id: 'LimitDetail',
    description: 'On a 402 or 429: which limit, what is left, when it resets, what would fit.',
  }),
  Type.Object(
    { ...Problem.properties, code: reference('ProblemCode'), ...FAULTS },
    { $id: 'Problem', description: 'RFC 9457, with our own `code`.' },
  ),
  Type.Object(
    {
      error: Type.Object({
        message: Type.String(),
        type: Type.String(),
        param: Type.Unsafe({ type: ['string', 'null'] }),
        code: Type.Unsafe({ type: ['string', 'null'] }),
        problem: reference('ProblemCode'),
        ...FAULTS,
      }),
      request_id: Type.String(),
    },
    { $id: 'OpenAiError', description: "OpenAI's error envelope, with our additions." },
  ),
];

const CONTENT: Readonly<Record<Envelope, DocumentedResponse['content']>> = {
  problem: { 'application/problem+json': { schema: reference('Problem') } },
  openai: { 'application/json': { schema: reference('OpenAiError') } },
};

interface DocumentedResponse {
  readonly description: string;
  readonly content: Readonly<Record<string, { readonly schema: TSchema }>>;
}

/** Makes the schemas known that {@link errorResponses} refers to. */
export function addProblemSchemas(app: FastifyInstance): void {
  for (const schema of SHARED) app.addSchema(schema);
}

/** The error answers of a route, for the `response` of its schema. */
export function errorResponses(
  envelope: Envelope,
  statuses: readonly number[],
): Record<number, DocumentedResponse> {
  const content = CONTENT[envelope];
  return Object.fromEntries(
    [...new Set(statuses)].map((status) => [status, { description: titlesOf(status), content }]),
  );
}

function titlesOf(status: number): string {
  const titles = Object.entries(PROBLEMS)
    .filter(([code, init]) => init.status === status && !INTERNAL.includes(code))
    .map(([code, init]) => `\`${code}\`: ${init.title}.`);
  return titles.join('\n\n');
}
