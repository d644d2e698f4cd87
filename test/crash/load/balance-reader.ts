import { request } from 'node:http';
import type { CallRecord, Community, World } from '../types.ts';
import { agentFor, faultOf, headOf, textOf } from './call.ts';

const DEADLINE_MS = 10_000;

/** `GET /api/v1/balance`; the body is the record's text. Never rejects. */
export async function readBalance(
  world: World,
  community: Community,
  replica: number,
  marker: string,
): Promise<CallRecord> {
  const startedAtMs = Date.now();
  const baseUrl = world.apis[replica]!.url;
  let status: number | undefined;
  let headersAtMs: number | undefined;
  let retryAfter: number | undefined;
  let text = '';
  let isWhole = false;
  let fault: string | undefined;
  const call = request(`${baseUrl}/api/v1/balance`, {
    agent: agentFor(baseUrl),
    headers: { authorization: `Bearer ${community.apiKeys[0]}` },
  });
  const timer = setTimeout(() => call.destroy(new Error('deadline')), DEADLINE_MS);
  call.end();
  try {
    const answer = await headOf(call);
    status = answer.statusCode;
    headersAtMs = Date.now();
    const after = answer.headers['retry-after'];
    if (after !== undefined) retryAfter = Number(after);
    text = await textOf(answer);
    isWhole = true;
  } catch (error) {
    fault = faultOf(error);
  } finally {
    clearTimeout(timer);
  }
  return {
    marker,
    community: community.id,
    replica,
    route: 'balance',
    stream: false,
    maxTokens: 0,
    startedAtMs,
    headersAtMs,
    endedAtMs: Date.now(),
    status,
    retryAfter,
    text,
    sawDone: isWhole,
    outcome: outcomeOf(status, isWhole),
    fault,
  };
}

function outcomeOf(status: number | undefined, isWhole: boolean): CallRecord['outcome'] {
  if (status === undefined) return 'no_answer';
  if (status >= 500) return 'unavailable';
  if (status >= 400) return 'refused';
  return isWhole ? 'completed' : 'cut';
}
