import { POOLS } from '@arrakis/contracts';
import { conclude, fail, type Gate, type JsonObject } from '../gate.domain.ts';
import type { FreesideClient, StreamedAnswer } from '../probes/freeside.client.ts';
import { NoAnswerError, at } from '../probes/http.client.ts';
import { withoutApiKey } from './no-key.ts';

export interface InferenceOptions {
  readonly freeside: FreesideClient | undefined;
  readonly deadlineMs: number;
}

/** A pool, and the model name that asks for it. */
interface PoolModel {
  readonly pool: string;
  readonly model: string;
}

/** Each pool of the key's tier must answer itself: a cheaper one that stands in is a fail. */
export function inferenceGate({ freeside, deadlineMs }: InferenceOptions): Gate {
  return {
    name: 'inference',
    asks: 'does each pool that the API key may use stream an answer with its usage',
    deadlineMs,
    whenLate: 'fail',
    lane: 'spending',
    async run(signal) {
      if (freeside === undefined) return withoutApiKey();
      try {
        return await askPools(freeside, signal);
      } catch (error) {
        if (error instanceof NoAnswerError) return fail(error.message, {});
        throw error;
      }
    },
  };
}

async function askPools(freeside: FreesideClient, signal: AbortSignal) {
  const { status, json } = await freeside.models(signal);
  if (status !== 200) return fail(`/v1/models answered ${String(status)}`, { status });
  const pools = poolModels(at(json, 'data'));
  if (pools.length === 0) return fail('/v1/models names no pool', { status });
  const wrong: string[] = [];
  const evidence: JsonObject[] = [];
  // One after another: how much at once is the load tests' question.
  for (const asked of pools) {
    const answer = await answerOf(freeside, asked, signal);
    const faults = typeof answer === 'string' ? [answer] : faultsOf(asked, answer);
    wrong.push(...faults.map((fault) => `${asked.pool}: ${fault}`));
    evidence.push({ ...asked, ...(typeof answer === 'string' ? {} : viewOf(answer)), faults });
  }
  const names = pools.map(({ pool }) => pool).join(', ');
  return conclude({ wrong, unclear: [] }, `answered and counted: ${names}`, { pools: evidence });
}

async function answerOf(
  freeside: FreesideClient,
  { model }: PoolModel,
  signal: AbortSignal,
): Promise<StreamedAnswer | string> {
  try {
    return await freeside.streamChat(model, signal);
  } catch (error) {
    if (error instanceof NoAnswerError) return error.message;
    throw error;
  }
}

/** The first model of each pool, in the order of the pools' prices. */
export function poolModels(models: unknown): readonly PoolModel[] {
  const ids = (Array.isArray(models) ? models : []).map((model: unknown) => at(model, 'id'));
  return POOLS.flatMap((pool) => {
    const model = ids.find((id): id is string => typeof id === 'string' && id.endsWith(`@${pool}`));
    return model === undefined ? [] : [{ pool, model }];
  });
}

/** Why it isn't a whole, counted answer of that pool; empty when it is. */
export function faultsOf({ pool }: PoolModel, answer: StreamedAnswer): string[] {
  if (answer.status !== 200) return [`${String(answer.status)} ${answer.code ?? ''}`.trim()];
  return [
    ...(answer.code === undefined ? [] : [`broke off with ${answer.code}`]),
    ...(answer.isDone && answer.finishReason !== undefined ? [] : ['the stream has no end']),
    ...(answer.completionTokens > 0 ? [] : ['no tokens were counted']),
    ...(answer.deltas > 0 ? [] : ['no text came']),
    ...(answer.poolUsed === pool ? [] : [`${answer.poolUsed ?? 'no pool'} answered instead`]),
  ];
}

function viewOf(answer: StreamedAnswer): JsonObject {
  const { status, requestId, poolUsed, completionTokens, deltas, finishReason } = answer;
  return {
    status,
    requestId: requestId ?? null,
    poolUsed: poolUsed ?? null,
    completionTokens,
    deltas,
    finishReason: finishReason ?? null,
  };
}
