import { Agent, request, type ClientRequest, type IncomingMessage } from 'node:http';
import { readSse } from '@arrakis/testkit';
import type { CallOutcome, CallRecord } from '../types.ts';
import { CallNotes } from './call-notes.ts';
import { markedPrompt } from './chat-request.ts';

/** One call as a client makes it. */
export interface CallSpec {
  readonly marker: string;
  /** Id of the community whose key it is. */
  readonly community: string;
  readonly apiKey: string;
  readonly replica: number;
  /** Of the replica, or of the wire to it. */
  readonly baseUrl: string;
  readonly route: 'inference' | 'chat_completions';
  /** Slug of the agent. */
  readonly agent: string;
  readonly stream: boolean;
  readonly maxTokens: number;
  readonly includeUsage: boolean;
  /** Asked of the provider; without it the provider draws one. */
  readonly plan?: string;
  /** For the whole call; {@link DEADLINE_MS} when absent. */
  readonly deadlineMs?: number;
  /** The client hangs up when it has so many pieces, or after so many milliseconds. */
  readonly leaves?: { readonly afterPieces: number } | { readonly afterMs: number } | undefined;
}

/** What the books are compared with beyond the plain record. */
export interface ObservedCall extends CallRecord {
  /** Text events that came at least {@link LAST_TURN_MS} before the end. */
  readonly earlyPieces: number;
  readonly pieces: number;
}

/** In this long a living finn has noted what it passed on, however busy the machine is. */
const LAST_TURN_MS = 1_000;
/** For a whole call. A frozen replica is given up after it. */
const DEADLINE_MS = 25_000;

const agents = new Map<string, Agent>();

/** Never rejects: whatever happens is in the record. */
export async function performCall(spec: CallSpec): Promise<ObservedCall> {
  const notes = new CallNotes(performance.now());
  const startedAtMs = Date.now();
  const call = send(spec);
  const hangUp = (): void => {
    notes.left = true;
    call.destroy();
  };
  const deadlineMs = spec.deadlineMs ?? DEADLINE_MS;
  const timers = [setTimeout(() => call.destroy(new Error('deadline')), deadlineMs)];
  const { leaves } = spec;
  if (leaves !== undefined && 'afterMs' in leaves) {
    timers.push(setTimeout(hangUp, leaves.afterMs));
  } else if (leaves !== undefined) {
    notes.onPiece = (pieces) => {
      if (pieces >= leaves.afterPieces) hangUp();
    };
  }
  try {
    await readAnswer(await headOf(call), spec, notes);
  } catch (error) {
    notes.fault = faultOf(error);
  } finally {
    for (const timer of timers) clearTimeout(timer);
    call.destroy();
  }
  return toRecord(spec, notes, startedAtMs);
}

/** Ends the connections that are kept for later calls. */
export function closeConnections(): void {
  for (const agent of agents.values()) agent.destroy();
  agents.clear();
}

function send(spec: CallSpec): ClientRequest {
  const { baseUrl, apiKey, agent: model, stream, maxTokens, marker, plan } = spec;
  const prompt = markedPrompt(marker, plan);
  const [path, body] =
    spec.route === 'inference'
      ? ['/api/v1/inference', { nft_id: model, prompt, max_tokens: maxTokens, stream }]
      : [
          '/v1/chat/completions',
          {
            model,
            messages: [{ role: 'user', content: prompt }],
            max_tokens: maxTokens,
            stream,
            ...(stream ? { stream_options: { include_usage: spec.includeUsage } } : {}),
          },
        ];
  const call = request(baseUrl + path, {
    method: 'POST',
    agent: agentFor(baseUrl),
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
  });
  call.end(JSON.stringify(body));
  return call;
}

export function agentFor(baseUrl: string): Agent {
  const known = agents.get(baseUrl);
  if (known !== undefined) return known;
  const made = new Agent({ keepAlive: true, maxSockets: Infinity, timeout: 0 });
  agents.set(baseUrl, made);
  return made;
}

export function headOf(call: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    call.once('response', resolve);
    call.once('error', reject);
    call.once('close', () => reject(new Error('closed')));
  });
}

async function readAnswer(
  answer: IncomingMessage,
  spec: CallSpec,
  notes: CallNotes,
): Promise<void> {
  notes.head(answer);
  const type = answer.headers['content-type'] ?? '';
  if (answer.statusCode !== 200 || !type.startsWith('text/event-stream')) {
    notes.body(await textOf(answer), spec.route);
    return;
  }
  for await (const { data, id } of readSse(answer as AsyncIterable<Buffer>)) {
    notes.event(data, id, performance.now());
  }
}

export async function textOf(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of answer as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

function toRecord(spec: CallSpec, notes: CallNotes, startedAtMs: number): ObservedCall {
  const { marker, community, replica, route, stream, maxTokens } = spec;
  return {
    marker,
    requestId: notes.requestId,
    community,
    replica,
    route,
    stream,
    maxTokens,
    startedAtMs,
    headersAtMs: notes.headersAtMs,
    endedAtMs: Date.now(),
    status: notes.status,
    retryAfter: notes.retryAfter,
    problemCode: notes.problemCode,
    text: notes.text,
    deliveredTokens: notes.deliveredTokens,
    sawDone: notes.sawDone,
    usage: notes.usage,
    outcome: outcomeOf(notes),
    fault: notes.fault,
    pieces: notes.pieces,
    earlyPieces: notes.piecesBefore(performance.now() - LAST_TURN_MS),
  };
}

function outcomeOf(notes: CallNotes): CallOutcome {
  const { status, left, sawDone } = notes;
  if (status === undefined) return left ? 'left' : 'no_answer';
  if (status >= 500) return 'unavailable';
  if (status >= 400) return 'refused';
  if (sawDone) return 'completed';
  return left ? 'left' : 'cut';
}

export function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}
