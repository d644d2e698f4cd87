import { LIMITS, type ChatMessage, type FieldError, type Pool } from '@arrakis/contracts';
import { parseModel } from './model.domain.ts';
import type { Refusal } from './refusal.domain.ts';

/** A message as OpenAI's clients send it; its types were checked by the route's schema. */
export interface RequestMessage {
  readonly role: string;
  readonly content?: string | null | readonly RequestPart[];
  readonly [other: string]: unknown;
}
export interface RequestPart {
  readonly type: string;
  readonly text?: string;
  readonly [other: string]: unknown;
}

/** A chat completion request; its types were checked by the route's schema. */
export interface ChatCompletionBody {
  readonly model: string;
  readonly messages: readonly RequestMessage[];
  readonly max_tokens?: number | null;
  readonly max_completion_tokens?: number | null;
  readonly stream?: boolean | null;
  readonly stream_options?: {
    readonly include_usage?: boolean;
    readonly include_obfuscation?: boolean;
  } | null;
  readonly [other: string]: unknown;
}

export interface ChatCompletionCommand {
  readonly model: string;
  readonly agent: string;
  readonly pool: Pool | undefined;
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

/**
 * Parameters of OpenAI's API that we know and don't offer, with the values that change nothing.
 * `null` always counts as absent.
 */
const NEUTRAL_VALUES: Readonly<Record<string, readonly unknown[]>> = {
  n: [1],
  temperature: [1],
  top_p: [1],
  presence_penalty: [0],
  frequency_penalty: [0],
  logprobs: [false],
  top_logprobs: [0],
  seed: [],
  stop: [[]],
  logit_bias: [{}],
  metadata: [{}],
  store: [false],
  tools: [[]],
  tool_choice: ['none', 'auto'],
  parallel_tool_calls: [true, false],
  functions: [[]],
  function_call: ['none', 'auto'],
  response_format: [{ type: 'text' }],
  modalities: [['text']],
  audio: [],
  prediction: [],
  reasoning_effort: [],
  verbosity: [],
  service_tier: ['auto', 'default'],
  web_search_options: [],
};

const SAMPLING = new Set([
  'temperature',
  'top_p',
  'presence_penalty',
  'frequency_penalty',
  'logit_bias',
  'seed',
  'stop',
]);

/** Members of a message that we know and don't offer; `name` is accepted and has no effect. */
const UNSUPPORTED_MEMBERS = ['tool_calls', 'tool_call_id', 'function_call', 'audio', 'refusal'];
const UNSUPPORTED_ROLES = ['tool', 'function'];
const UNSUPPORTED_PARTS = ['image_url', 'input_audio', 'file', 'refusal'];

/** Names of {@link NEUTRAL_VALUES}: the route's schema has to know the same ones. */
export const NEUTRAL_PARAMETERS: readonly string[] = Object.keys(NEUTRAL_VALUES);

/** Reads a request whose types are right; refuses what it asks for and we don't do. */
export function readChatCompletion(
  body: ChatCompletionBody,
):
  { readonly ok: true; readonly command: ChatCompletionCommand } | { ok: false; refusal: Refusal } {
  const refusal = findUnsupported(body) ?? findContradiction(body);
  if (refusal !== undefined) return { ok: false, refusal };
  const reference = parseModel(body.model);
  if (reference === undefined) return { ok: false, refusal: { code: 'model_not_found' } };
  const command = {
    model: body.model,
    ...reference,
    messages: body.messages.map(toChatMessage),
    maxTokens: body.max_tokens ?? body.max_completion_tokens ?? LIMITS.defaultMaxTokens,
    stream: body.stream ?? false,
    includeUsage: body.stream_options?.include_usage ?? false,
  };
  return { ok: true, command };
}

function findUnsupported(body: ChatCompletionBody): Refusal | undefined {
  const errors = [
    ...Object.entries(NEUTRAL_VALUES).flatMap(([name, neutral]) => {
      const value = body[name] ?? undefined;
      const isNeutral = value === undefined || neutral.some((one) => isSame(one, value));
      return isNeutral ? [] : [{ field: `/${name}`, reason: reasonFor(name, neutral) }];
    }),
    ...(body.stream_options?.include_obfuscation === true
      ? [{ field: '/stream_options/include_obfuscation', reason: 'is not supported' }]
      : []),
    ...body.messages.flatMap(unsupportedInMessage),
  ];
  if (errors.length === 0) return undefined;
  return {
    code: 'unsupported_parameter',
    detail: 'The request asks for what is not offered',
    errors,
  };
}

function reasonFor(name: string, neutral: readonly unknown[]): string {
  const why = SAMPLING.has(name) ? "the agent's personality sets sampling" : 'is not supported';
  if (neutral.length === 0) return `${why}; leave it out`;
  const values = neutral.map((value) => JSON.stringify(value)).join(' or ');
  return `${why}; leave it out or send ${values}`;
}

function isSame(neutral: unknown, value: unknown): boolean {
  return neutral === value || JSON.stringify(neutral) === JSON.stringify(value);
}

function unsupportedInMessage(message: RequestMessage, index: number): FieldError[] {
  const at = `/messages/${index}`;
  if (UNSUPPORTED_ROLES.includes(message.role)) {
    return [{ field: `${at}/role`, reason: `the role ${message.role} is not supported` }];
  }
  const errors = UNSUPPORTED_MEMBERS.filter(
    (name) => (message[name] ?? undefined) !== undefined,
  ).map((name) => ({ field: `${at}/${name}`, reason: 'is not supported' }));
  partsOf(message).forEach((part, position) => {
    if (!UNSUPPORTED_PARTS.includes(part.type)) return;
    const reason = 'only parts of type text are supported';
    errors.push({ field: `${at}/content/${position}/type`, reason });
  });
  return errors;
}

function partsOf({ content }: RequestMessage): readonly RequestPart[] {
  return typeof content === 'string' ? [] : (content ?? []);
}

function findContradiction(body: ChatCompletionBody): Refusal | undefined {
  const errors: FieldError[] = [];
  if (isSet(body.max_tokens) && isSet(body.max_completion_tokens)) {
    errors.push({ field: '/max_tokens', reason: 'must not stand beside max_completion_tokens' });
  }
  if (isSet(body.stream_options) && body.stream !== true) {
    errors.push({ field: '/stream_options', reason: 'is only allowed when stream is true' });
  }
  body.messages.forEach((message, index) => errors.push(...missingText(message, index)));
  return errors.length === 0 ? undefined : { code: 'invalid_request', errors };
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function missingText(message: RequestMessage, index: number): FieldError[] {
  const field = `/messages/${index}/content`;
  if (!isSet(message.content)) return [{ field, reason: 'is required' }];
  return partsOf(message).flatMap((part, position) => faultsOfPart(part, `${field}/${position}`));
}

function faultsOfPart(part: RequestPart, at: string): FieldError[] {
  if (part.type !== 'text') return [{ field: `${at}/type`, reason: 'must be "text"' }];
  if (part.text === undefined) return [{ field: `${at}/text`, reason: 'is required' }];
  return Object.keys(part)
    .filter((name) => name !== 'type' && name !== 'text')
    .map((name) => ({ field: `${at}/${name}`, reason: 'is not a known field' }));
}

function toChatMessage(message: RequestMessage): ChatMessage {
  const { content } = message;
  return {
    role: toRole(message.role),
    content:
      typeof content === 'string'
        ? content
        : partsOf(message)
            .map((part) => part.text)
            .join(''),
  };
}

/** `developer` is OpenAI's newer name for `system`. */
function toRole(role: string): ChatMessage['role'] {
  return role === 'user' || role === 'assistant' ? role : 'system';
}
