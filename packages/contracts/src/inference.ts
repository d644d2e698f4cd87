import { Type, type Static } from 'typebox';

export const INFERENCE_PATH = '/api/v1/inference';

/** Headers of contract v1.0.0, in the lower case in which Node reports them. */
export const HEADERS = {
  poolUsed: 'x-pool-used',
  personalityId: 'x-personality-id',
  requestId: 'x-request-id',
  contractVersion: 'x-contract-version',
  /** Completion tokens: a header on a plain answer, a trailer on a stream. */
  tokenCount: 'x-token-count',
  /** Tokens of the prompt as finn counted them before it began. */
  promptTokens: 'x-prompt-tokens',
  /** The model that answers, for the receipt; visible ASCII. */
  modelUsed: 'x-model-used',
} as const;

/** Bounds of one request. Bytes are UTF-8. */
export const LIMITS = {
  promptBytes: 256 * 1024,
  messages: 256,
  bodyBytes: 1024 * 1024,
  maxTokens: 32_768,
  defaultMaxTokens: 512,
} as const;

/**
 * The most that finn adds to what the client wrote, so that freeside can bound the prompt's tokens
 * without knowing the personality: a rendered personality prompt is refused above its bytes, and
 * no chat template spends more than these tokens a message and a request.
 */
export const PROMPT_OVERHEAD = {
  personalityBytes: 1024,
  tokensPerMessage: 16,
  tokensPerRequest: 32,
} as const;

export const ChatRole = Type.Union([
  Type.Literal('system'),
  Type.Literal('user'),
  Type.Literal('assistant'),
]);

export const ChatMessage = Type.Object(
  { role: ChatRole, content: Type.String({ minLength: 1, maxLength: LIMITS.promptBytes }) },
  { additionalProperties: false },
);
export type ChatMessage = Static<typeof ChatMessage>;

const Messages = Type.Array(ChatMessage, { minItems: 1, maxItems: LIMITS.messages });
const Prompt = Type.String({ minLength: 1, maxLength: LIMITS.promptBytes });
const MaxTokens = Type.Integer({ minimum: 1, maximum: LIMITS.maxTokens });

/** What finn accepts: `prompt` or `messages`, never both (checked beside the schema). */
export const InferenceRequest = Type.Object(
  {
    prompt: Type.Optional(Prompt),
    messages: Type.Optional(Messages),
    max_tokens: Type.Optional(MaxTokens),
    stream: Type.Boolean(),
  },
  { additionalProperties: false },
);
export type InferenceRequest = Static<typeof InferenceRequest>;

export const Usage = Type.Object({
  prompt_tokens: Type.Integer({ minimum: 0 }),
  completion_tokens: Type.Integer({ minimum: 0 }),
  total_tokens: Type.Integer({ minimum: 0 }),
});
export type Usage = Static<typeof Usage>;

export const FinishReason = Type.Union([Type.Literal('stop'), Type.Literal('length')]);
export type FinishReason = Static<typeof FinishReason>;

/** finn's plain (not streamed) answer. */
export const InferenceResponse = Type.Object({
  content: Type.String(),
  usage: Usage,
  finish_reason: FinishReason,
});
export type InferenceResponse = Static<typeof InferenceResponse>;

export function usageOf(promptTokens: number, completionTokens: number): Usage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}
