import { countStatus } from '../lib/metrics.ts';
import { get, jsonOf } from '../lib/target.ts';

/** Lists the models. @returns their ids; none when the request failed. */
export function listModels(): readonly string[] {
  const response = get('/v1/models', 'models');
  countStatus(response);
  const { data } = jsonOf(response);
  if (response.status !== 200 || !Array.isArray(data)) return [];
  return data
    .map((model: unknown) => (model as { id?: unknown }).id)
    .filter((id): id is string => typeof id === 'string');
}
