import { ProblemError, errorResponses } from '@arrakis/service-kit';
import type { FastifyInstance, onRequestAsyncHookHandler } from 'fastify';
import { Type, type Static } from 'typebox';
import { resolvePool, type Agent } from '../agents/agent.domain.ts';
import type { ApiKeyPrincipal } from '../api-keys/api-key.domain.ts';
import { Model, ModelList } from './chat-completions.schema.ts';
import { MODEL_ID_MAX_LENGTH, modelIds, parseModel } from './model.domain.ts';
import { API_KEY, KEY_ERRORS } from './route-schemas.ts';

export interface ModelRoutesOptions {
  readonly agents: {
    findAgent(communityId: string, ref: string): Promise<Agent | undefined>;
    listAgents(communityId: string): Promise<readonly Agent[]>;
  };
  readonly requireKey: onRequestAsyncHookHandler;
}

const ModelParams = Type.Object({
  model: Type.String({ minLength: 1, maxLength: MODEL_ID_MAX_LENGTH }),
});

const listSchema = {
  operationId: 'listModels',
  tags: ['openai'],
  summary: 'List models',
  description:
    "The agents of the key's community: each by its slug, and by slug and pool (`slug@pool`).",
  security: API_KEY,
  response: { 200: ModelList, ...errorResponses('openai', [...KEY_ERRORS, 405, 500]) },
};

const retrieveSchema = {
  operationId: 'retrieveModel',
  tags: ['openai'],
  summary: 'Retrieve a model',
  security: API_KEY,
  params: ModelParams,
  response: { 200: Model, ...errorResponses('openai', [...KEY_ERRORS, 404, 405, 414, 500]) },
};

/** `GET /v1/models` and `GET /v1/models/{model}`. */
export function registerModelRoutes(app: FastifyInstance, options: ModelRoutesOptions): void {
  const { agents, requireKey: onRequest } = options;

  app.get('/v1/models', { schema: listSchema, onRequest }, async (request) => {
    const { principal } = request;
    const found = await orUnavailable(agents.listAgents(principal.communityId));
    const data = found.flatMap((agent) =>
      modelIds(agent.slug, tierOf(agent, principal)).map((id) => toModel(id, agent)),
    );
    return { object: 'list', data };
  });

  app.get<{ Params: Static<typeof ModelParams> }>(
    '/v1/models/:model',
    { schema: retrieveSchema, onRequest },
    async (request) => {
      const { principal, params } = request;
      const reference = parseModel(params.model);
      const agent =
        reference &&
        (await orUnavailable(agents.findAgent(principal.communityId, reference.agent)));
      // A pool beyond the tier isn't listed either.
      if (agent === undefined || !resolvePool(agent, reference?.pool, principal).ok) {
        throw new ProblemError({ code: 'model_not_found' });
      }
      return toModel(params.model, agent);
    },
  );
}

function tierOf(agent: Agent, principal: ApiKeyPrincipal) {
  // A pool nobody names is always within the tier.
  const decision = resolvePool(agent, undefined, principal);
  return decision.ok ? decision.tier : agent.tier;
}

function toModel(id: string, agent: Agent): Static<typeof Model> {
  return {
    id,
    object: 'model',
    created: Math.floor(agent.createdAt.getTime() / 1000),
    owned_by: agent.communityId,
  };
}

async function orUnavailable<T>(lookup: Promise<T>): Promise<T> {
  try {
    return await lookup;
  } catch (cause) {
    throw new ProblemError({
      code: 'service_unavailable',
      headers: { 'retry-after': '1' },
      cause,
    });
  }
}
