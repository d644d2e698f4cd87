import type { FinishReason } from '@arrakis/contracts';
import { asCount, asObject, asString, parseObject, type Json } from './json.domain.ts';
import { ProviderError, type ProviderRequest, type ProviderUsage } from './provider.domain.ts';
import { statusError } from './vendor-http.domain.ts';

export type MaxTokensField = 'max_tokens' | 'max_completion_tokens';

/** Body of `POST /chat/completions`. */
export function requestBody(request: ProviderRequest, maxTokensField: MaxTokensField): string {
  return JSON.stringify({
    model: request.model,
    messages: request.messages.map(({ role, content }) => ({ role, content })),
    [maxTokensField]: request.maxTokens,
    stream: true,
    stream_options: { include_usage: true },
  });
}

/** What one event of the stream says; `done` is the `[DONE]` that ends it. */
export interface Delta {
  readonly text: string;
  readonly finishReason: FinishReason | undefined;
  readonly usage: ProviderUsage | undefined;
  readonly done: boolean;
}

const NOTHING: Delta = { text: '', finishReason: undefined, usage: undefined, done: false };

/**
 * Reads one event. Servers differ: usage comes in an event of its own, in the last one with
 * content, in each one or never; a first delta may hold nothing but the role.
 *
 * @throws ProviderError for an error object in the stream, or what is no JSON object.
 */
export function readEvent(data: string): Delta {
  if (data === '[DONE]') return { ...NOTHING, done: true };
  const event = parseObject(data);
  if (event === undefined) {
    throw new ProviderError('protocol_error', 'the provider sent an event that is no JSON object');
  }
  if (event.error !== undefined && event.error !== null) throw streamError(event.error);
  const choice = firstChoice(event);
  return {
    text: asString(asObject(choice?.delta)?.content) ?? '',
    finishReason: finishReasonOf(asString(choice?.finish_reason)),
    usage: usageOf(asObject(event.usage)),
    done: false,
  };
}

function firstChoice(event: Json): Json | undefined {
  const choices: unknown = event.choices;
  return Array.isArray(choices) ? asObject(choices[0]) : undefined;
}

/** `stop`, `content_filter`, `tool_calls` and whatever a vendor invents: the model ended by itself. */
function finishReasonOf(reason: string | undefined): FinishReason | undefined {
  if (reason === undefined) return undefined;
  if (reason === 'error') throw new ProviderError('server_error', 'the provider failed mid-stream');
  return reason === 'length' ? 'length' : 'stop';
}

function usageOf(usage: Json | undefined): ProviderUsage | undefined {
  const promptTokens = asCount(usage?.prompt_tokens);
  const completionTokens = asCount(usage?.completion_tokens);
  return promptTokens === undefined || completionTokens === undefined
    ? undefined
    : { promptTokens, completionTokens };
}

/** OpenRouter and vLLM put an HTTP status into `code`; others put a word there, or nothing. */
function streamError(error: unknown): ProviderError {
  const code = Number(asObject(error)?.code);
  const isStatus = Number.isInteger(code) && code >= 400 && code <= 599;
  return isStatus
    ? statusError(code)
    : new ProviderError('server_error', 'the provider sent an error in the stream');
}
