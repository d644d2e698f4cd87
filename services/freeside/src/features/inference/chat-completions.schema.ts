import { LIMITS, Usage } from '@arrakis/contracts';
import { Type, type TSchema } from 'typebox';
import type { ChatCompletionBody } from './chat-completion.domain.ts';
import { MODEL_ID_MAX_LENGTH } from './model.domain.ts';

/** A value or `null`, which OpenAI's clients send for "not set"; without a union's poor errors. */
function nullable(type: string, more: object = {}): TSchema {
  return Type.Unsafe({ type: [type, 'null'], ...more });
}

const notOffered = (type: string, neutral: string, more: object = {}): TSchema =>
  Type.Optional(nullable(type, { description: `Not offered: ${neutral}.`, ...more }));
const anyNotOffered = (types: readonly string[], neutral: string): TSchema =>
  Type.Optional(
    Type.Unsafe({
      description: `Not offered: ${neutral}.`,
      anyOf: [...types, 'null'].map((type) => ({ type })),
    }),
  );

/** Checked closely by the domain, which can say what is wrong with which part. */
const Part = {
  type: 'object',
  properties: { type: { type: 'string' }, text: { type: 'string' } },
  required: ['type'],
};

const Message = {
  type: 'object',
  properties: {
    role: {
      enum: ['system', 'developer', 'user', 'assistant', 'tool', 'function'],
      description: '`developer` means `system`; `tool` and `function` are not offered.',
    },
    content: {
      description: 'Text, or parts of type `text`, which are joined.',
      type: ['string', 'array', 'null'],
      items: Part,
      minItems: 1,
      maxItems: 64,
    },
    name: { type: ['string', 'null'], maxLength: 64, description: 'Accepted; has no effect.' },
    refusal: { type: ['string', 'null'] },
    tool_calls: { type: ['array', 'null'] },
    tool_call_id: { type: ['string', 'null'] },
    function_call: { type: ['object', 'null'] },
    audio: { type: ['object', 'null'] },
  },
  required: ['role'],
  additionalProperties: false,
};

const MaxTokens = nullable('integer', {
  minimum: 1,
  maximum: LIMITS.maxTokens,
  description: `Completion tokens at most; ${LIMITS.defaultMaxTokens} when absent.`,
});

const ONLY_DEFAULT = 'only the neutral value is accepted';
const SAMPLING = "the agent's personality sets sampling, so only the neutral value is accepted";

export const ChatCompletionRequest = Type.Unsafe<ChatCompletionBody>(
  Type.Object(
    {
      model: Type.String({
        minLength: 1,
        maxLength: MODEL_ID_MAX_LENGTH,
        description: "An agent's slug or NFT id, and optionally `@` and a pool.",
      }),
      messages: Type.Unsafe({
        type: 'array',
        items: Message,
        minItems: 1,
        maxItems: LIMITS.messages,
      }),
      max_tokens: Type.Optional(MaxTokens),
      max_completion_tokens: Type.Optional(MaxTokens),
      stream: Type.Optional(nullable('boolean')),
      stream_options: Type.Optional(
        nullable('object', {
          properties: {
            include_usage: { type: 'boolean' },
            include_obfuscation: { type: 'boolean' },
          },
          additionalProperties: false,
        }),
      ),
      user: Type.Optional(nullable('string', { maxLength: 256 })),
      safety_identifier: Type.Optional(nullable('string', { maxLength: 256 })),
      prompt_cache_key: Type.Optional(nullable('string', { maxLength: 256 })),
      n: notOffered('integer', ONLY_DEFAULT, { minimum: 1, maximum: 128 }),
      temperature: notOffered('number', SAMPLING, { minimum: 0, maximum: 2 }),
      top_p: notOffered('number', SAMPLING, { minimum: 0, maximum: 1 }),
      presence_penalty: notOffered('number', SAMPLING, { minimum: -2, maximum: 2 }),
      frequency_penalty: notOffered('number', SAMPLING, { minimum: -2, maximum: 2 }),
      logit_bias: notOffered('object', SAMPLING),
      seed: notOffered('integer', SAMPLING),
      stop: anyNotOffered(['string', 'array'], SAMPLING),
      logprobs: notOffered('boolean', ONLY_DEFAULT),
      top_logprobs: notOffered('integer', ONLY_DEFAULT, { minimum: 0, maximum: 20 }),
      metadata: notOffered('object', ONLY_DEFAULT),
      store: notOffered('boolean', ONLY_DEFAULT),
      tools: notOffered('array', ONLY_DEFAULT),
      tool_choice: anyNotOffered(['string', 'object'], ONLY_DEFAULT),
      parallel_tool_calls: notOffered('boolean', 'has no effect without tools'),
      functions: notOffered('array', ONLY_DEFAULT),
      function_call: anyNotOffered(['string', 'object'], ONLY_DEFAULT),
      response_format: notOffered('object', ONLY_DEFAULT),
      modalities: notOffered('array', ONLY_DEFAULT),
      audio: notOffered('object', ONLY_DEFAULT),
      prediction: notOffered('object', ONLY_DEFAULT),
      reasoning_effort: notOffered('string', ONLY_DEFAULT),
      verbosity: notOffered('string', ONLY_DEFAULT),
      service_tier: notOffered('string', ONLY_DEFAULT),
      web_search_options: notOffered('object', ONLY_DEFAULT),
    },
    {
      $id: 'ChatCompletionRequest',
      additionalProperties: false,
      examples: [
        {
          model: 'dune-sage',
          messages: [{ role: 'user', content: 'Who are you?' }],
          max_tokens: 80,
        },
      ],
    },
  ),
);

export const ChatCompletion = Type.Object({
  id: Type.String(),
  object: Type.Literal('chat.completion'),
  created: Type.Integer({ description: 'Unix time in seconds.' }),
  model: Type.String(),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      message: Type.Object({
        role: Type.Literal('assistant'),
        content: Type.String(),
        refusal: Type.Null(),
      }),
      logprobs: Type.Null(),
      finish_reason: Type.Enum(['stop', 'length']),
    }),
  ),
  usage: Usage,
  system_fingerprint: Type.Null(),
});

export const Model = Type.Object({
  id: Type.String(),
  object: Type.Literal('model'),
  created: Type.Integer({ description: 'Unix time in seconds.' }),
  owned_by: Type.String({ description: 'The community, by its id.' }),
});

export const ModelList = Type.Object({ object: Type.Literal('list'), data: Type.Array(Model) });
