import type { ChatMessage, FinishReason } from '@arrakis/contracts';
import { asCount, asObject, asString, parseObject, type Json } from './json.domain.ts';
import { ProviderError, type ProviderErrorCode, type ProviderRequest } from './provider.domain.ts';

interface Turn {
  readonly role: 'user' | 'assistant';
  readonly content: string;
}

/** Stands where the API wants a user's turn and the conversation has none. */
const PLACEHOLDER: Turn = { role: 'user', content: '…' };

/** Body of `POST /v1/messages`. */
export function requestBody(request: ProviderRequest): string {
  const system = request.messages
    .filter(({ role }) => role === 'system')
    .map(({ content }) => content)
    .join('\n\n');
  return JSON.stringify({
    model: request.model,
    ...(system === '' ? {} : { system }),
    messages: turnsOf(request.messages),
    max_tokens: request.maxTokens,
    stream: true,
  });
}

/** The API wants turns that alternate and begin with the user's; system texts go elsewhere. */
function turnsOf(messages: readonly ChatMessage[]): Turn[] {
  const turns: Turn[] = [];
  for (const { role, content } of messages) {
    if (role === 'system') continue;
    const last = turns.at(-1);
    if (last?.role === role) {
      turns[turns.length - 1] = { role, content: `${last.content}\n\n${content}` };
    } else {
      turns.push({ role, content });
    }
  }
  if (turns[0]?.role !== 'user') turns.unshift(PLACEHOLDER);
  const last = turns.at(-1);
  // A last turn of the assistant's is a prefill, which must not end in white space.
  if (last?.role === 'assistant') {
    turns[turns.length - 1] = { role: 'assistant', content: last.content.trimEnd() };
  }
  return turns;
}

/** What one event of the stream says; counts are totals so far, not increments. */
export interface MessageEvent {
  readonly text: string;
  readonly promptTokens: number | undefined;
  readonly completionTokens: number | undefined;
  readonly finishReason: FinishReason | undefined;
  readonly stop: boolean;
}

const NOTHING: MessageEvent = {
  text: '',
  promptTokens: undefined,
  completionTokens: undefined,
  finishReason: undefined,
  stop: false,
};

/** @throws ProviderError for an `error` event, or what is no JSON object. */
export function readEvent(data: string): MessageEvent {
  const event = parseObject(data);
  if (event === undefined) {
    throw new ProviderError('protocol_error', 'the provider sent an event that is no JSON object');
  }
  switch (event.type) {
    case 'message_start':
      return messageStart(asObject(asObject(event.message)?.usage));
    case 'content_block_delta':
      return contentDelta(event);
    case 'message_delta':
      return messageDelta(event);
    case 'message_stop':
      return { ...NOTHING, stop: true };
    case 'error':
      throw streamError(event);
    default:
      // `ping`, block starts and stops, and event types to come.
      return NOTHING;
  }
}

/** Thinking has no `text`: only what is meant for the reader is handed on. */
function contentDelta(event: Json): MessageEvent {
  return { ...NOTHING, text: asString(asObject(event.delta)?.text) ?? '' };
}

/** Cached prompt tokens are counted beside `input_tokens`; the whole prompt is their sum. */
function messageStart(usage: Json | undefined): MessageEvent {
  const input = asCount(usage?.input_tokens);
  if (input === undefined) return NOTHING;
  const created = asCount(usage?.cache_creation_input_tokens) ?? 0;
  const read = asCount(usage?.cache_read_input_tokens) ?? 0;
  return {
    ...NOTHING,
    promptTokens: input + created + read,
    completionTokens: asCount(usage?.output_tokens),
  };
}

function messageDelta(event: Json): MessageEvent {
  const reason = asString(asObject(event.delta)?.stop_reason);
  return {
    ...NOTHING,
    completionTokens: asCount(asObject(event.usage)?.output_tokens),
    finishReason: reason === undefined ? undefined : finishReasonOf(reason),
  };
}

function finishReasonOf(reason: string): FinishReason {
  return reason === 'max_tokens' ? 'length' : 'stop';
}

const ERROR_CODES: Readonly<Record<string, ProviderErrorCode>> = {
  authentication_error: 'unauthorized',
  permission_error: 'unauthorized',
  invalid_request_error: 'rejected',
  not_found_error: 'rejected',
  request_too_large: 'rejected',
  rate_limit_error: 'rate_limited',
  timeout_error: 'timeout',
};

/** `api_error`, `overloaded_error` and unknown ones are the vendor's fault. */
function streamError(event: Json): ProviderError {
  const type = asString(asObject(event.error)?.type) ?? '';
  const code = Object.hasOwn(ERROR_CODES, type) ? ERROR_CODES[type] : undefined;
  return new ProviderError(code ?? 'server_error', 'the provider sent an error in the stream');
}
