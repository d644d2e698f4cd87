import { serviceVersion } from '@arrakis/service-kit';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { headerComponents, headersOfStatus } from './documented-headers.ts';
import { PROMPT_ALTERNATIVES } from './features/inference/inference.schema.ts';

const INFO = {
  title: 'arrakis',
  description: 'Metered AI agents: a hold before the first token, an exact charge after it.',
  version: serviceVersion(),
  license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
};

const TAGS = [
  { name: 'inference', description: 'Ask an agent.' },
  { name: 'openai', description: 'The same for any OpenAI SDK.' },
  { name: 'billing', description: 'Balance and receipts.' },
  { name: 'payments', description: 'Buy credits with crypto.' },
  { name: 'keys', description: 'Public keys of service tokens.' },
  { name: 'service', description: 'About this service.' },
];

/** `/openapi.json`, made from the schemas of the routes that come after, and pages to browse it. */
export async function registerDocumentation(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    // Shared schemas under their own names, instead of `def-0`, `def-1`, …
    refResolver: {
      buildLocalReference: (schema, _baseUri, _fragment, index) =>
        typeof schema.$id === 'string' ? schema.$id : `def-${index}`,
    },
    transformObject: (document) =>
      'openapiObject' in document
        ? shareErrorResponses(shareHeaders(addAlternatives(document.openapiObject)))
        : document.swaggerObject,
    openapi: {
      openapi: '3.1.0',
      info: INFO,
      servers: [{ url: '/' }],
      tags: TAGS,
      components: {
        securitySchemes: {
          apiKey: {
            type: 'http',
            scheme: 'bearer',
            description: 'An API key: `Authorization: Bearer lf_live_…`',
          },
        },
      },
    },
  });
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
}

interface Described {
  readonly paths?: object | undefined;
  readonly components?: object | undefined;
}

interface DescribedHeader {
  readonly schema: Readonly<Record<string, unknown>>;
}

interface DescribedResponse {
  headers?: Record<string, object>;
}

function responsesOf(document: Described): Record<string, DescribedResponse>[] {
  return Object.values(document.paths ?? {})
    .flatMap(Object.values)
    .map((operation) => (operation as { responses?: Record<string, DescribedResponse> }).responses)
    .filter((responses) => responses !== undefined);
}

function addAlternatives<T extends Described>(document: T): T {
  const { schemas } = { schemas: {}, ...document.components };
  const { InferenceRequest } = schemas as { InferenceRequest?: object };
  const refined = { InferenceRequest: { ...InferenceRequest, oneOf: PROMPT_ALTERNATIVES } };
  return {
    ...document,
    components: { ...document.components, schemas: { ...schemas, ...refined } },
  };
}

/** Adds the headers that come with a status to those of a route; each name is described once. */
function shareHeaders<T extends Described>(document: T): T {
  const shared: Record<string, object> = { ...headerComponents };
  for (const responses of responsesOf(document)) {
    for (const [status, response] of Object.entries(responses)) {
      const own = Object.entries(response.headers ?? {}) as [string, DescribedHeader][];
      for (const [name, header] of own) shared[name] = withRequired(header);
      const names = [...own.map(([name]) => name), ...headersOfStatus(status)];
      const references = names.map((name) => [name, { $ref: `#/components/headers/${name}` }]);
      response.headers = Object.fromEntries(references) as Record<string, object>;
    }
  }
  return { ...document, components: { ...document.components, headers: shared } };
}

/** What a route says of a header arrives as its schema, where `required` has no such meaning. */
function withRequired(header: DescribedHeader): object {
  const { required, ...schema } = header.schema;
  return { ...header, schema, required: required === true };
}

const ERROR_SCHEMA = /"#\/components\/schemas\/(Problem|OpenAiError)"/;

/** Every route has the same dozen error answers: described once each, and referred to. */
function shareErrorResponses<T extends Described>(document: T): T {
  const shared: Record<string, unknown> = {};
  for (const responses of responsesOf(document) as Record<string, unknown>[]) {
    for (const [status, response] of Object.entries(responses)) {
      const schema = ERROR_SCHEMA.exec(JSON.stringify(response))?.[1];
      if (schema === undefined || Number(status) < 400) continue;
      const name = `${schema}${status}`;
      shared[name] = response;
      responses[status] = { $ref: `#/components/responses/${name}` };
    }
  }
  return { ...document, components: { ...document.components, responses: shared } };
}
