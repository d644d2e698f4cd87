import type { IncomingMessage } from 'node:http';
import type { Pool as PoolName } from '@arrakis/contracts';

/** A chat completion as the provider understands it. */
export interface ChatRequest {
  readonly marker: string;
  /** Asked for beside the marker. */
  readonly plan: string | undefined;
  readonly pool: PoolName;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly maxTokens: number;
  /** Of the messages, in order. */
  readonly contents: readonly string[];
}

interface Fault {
  readonly status: number;
  readonly message: string;
}

const MARKER = /\bmarker=([\w-]+)(?:;plan=([\w-]+))?/;
const KNOWN = new Set(['model', 'messages', 'max_tokens', 'stream', 'stream_options']);
const ROLES = new Set(['system', 'user', 'assistant']);

/** What a client puts into its prompt; see {@link readChatRequest}. */
export function markedPrompt(marker: string, plan?: string): string {
  return `marker=${marker}${plan === undefined ? '' : `;plan=${plan}`} Tell me a story.`;
}

/** Refuses, as the vendor would, whatever finn has no reason to send. */
export async function readChatRequest(
  request: IncomingMessage,
  models: Readonly<Record<PoolName, string>>,
): Promise<ChatRequest | Fault> {
  if (request.method !== 'POST' || request.url !== '/v1/chat/completions') {
    return { status: 404, message: 'Invalid URL' };
  }
  const body = parse(await readText(request));
  if (body === undefined) return { status: 400, message: 'The body is not a JSON object.' };
  const fault = faultOf(body);
  if (fault !== undefined) return { status: 400, message: fault };
  const pool = (Object.keys(models) as PoolName[]).find((one) => models[one] === body.model);
  if (pool === undefined) return { status: 404, message: 'The model does not exist.' };
  const contents = (body.messages as { content: string }[]).map(({ content }) => content);
  const [, marker, plan] = MARKER.exec(contents.at(-1) ?? '') ?? [];
  if (marker === undefined) return { status: 400, message: 'The prompt has no marker.' };
  const options = body.stream_options as { include_usage?: unknown } | undefined;
  return {
    marker,
    plan,
    pool,
    stream: body.stream === true,
    includeUsage: options?.include_usage === true,
    maxTokens: body.max_tokens as number,
    contents,
  };
}

function faultOf(body: Record<string, unknown>): string | undefined {
  const unknown = Object.keys(body).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) return `Unrecognized request argument supplied: ${unknown}`;
  const { max_tokens: maxTokens, messages, stream, stream_options: options } = body;
  if (!Number.isInteger(maxTokens) || (maxTokens as number) < 1) return 'Invalid max_tokens';
  if (typeof stream !== 'boolean') return 'Invalid stream';
  if (options !== undefined && !stream) return 'stream_options needs stream';
  if (!Array.isArray(messages) || messages.length === 0) return 'Invalid messages';
  return messages.every(isMessage) ? undefined : 'Invalid message';
}

function isMessage(message: unknown): boolean {
  if (typeof message !== 'object' || message === null) return false;
  const { role, content, ...others } = message as Record<string, unknown>;
  const isKnown = Object.keys(others).length === 0 && ROLES.has(String(role));
  return isKnown && typeof content === 'string' && content !== '';
}

async function readText(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
