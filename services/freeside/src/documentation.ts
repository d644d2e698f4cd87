import { serviceVersion } from '@arrakis/service-kit';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';

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
        ? shareErrorResponses(document.openapiObject)
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

interface Shareable {
  readonly paths?: object | undefined;
  readonly components?: object | undefined;
}

const ERROR_SCHEMA = /"#\/components\/schemas\/(Problem|OpenAiError)"/;

/** Every route has the same dozen error answers: described once each, and referred to. */
function shareErrorResponses<T extends Shareable>(document: T): T {
  const shared: Record<string, unknown> = {};
  for (const operation of Object.values(document.paths ?? {}).flatMap(Object.values)) {
    const { responses = {} } = operation as { responses?: Record<string, unknown> };
    for (const [status, response] of Object.entries(responses)) {
      const schema = ERROR_SCHEMA.exec(JSON.stringify(response))?.[1];
      if (schema === undefined) continue;
      const name = `${schema}${status}`;
      shared[name] = response;
      responses[status] = { $ref: `#/components/responses/${name}` };
    }
  }
  return { ...document, components: { ...document.components, responses: shared } };
}
