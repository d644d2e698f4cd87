import { FinishReason, Usage } from '@arrakis/contracts';
import { Type, type TSchema } from 'typebox';

/** One server-sent event, for the API description: nothing validates streams on their way out. */
function event(data: TSchema, id: Record<string, TSchema> = {}): TSchema {
  return Type.Object({ ...id, data }, { description: 'Of each event.' });
}

function json(schema: TSchema): TSchema {
  return Type.Unsafe({
    type: 'string',
    contentMediaType: 'application/json',
    contentSchema: schema,
  });
}

const problem = Type.Unsafe({ $ref: 'Problem#' });
const openAiError = Type.Unsafe({ $ref: 'OpenAiError#/properties/error' });

/** Of `POST /api/v1/inference`. */
export const InferenceEvent = event(
  json(
    Type.Union([
      Type.Object({ type: Type.Literal('token'), content: Type.String() }),
      Type.Object({ type: Type.Literal('done'), usage: Usage, finish_reason: FinishReason }),
      Type.Object({ type: Type.Literal('error'), error: problem }),
    ]),
  ),
  {
    id: Type.Optional(
      Type.String({ pattern: '^[0-9]+$', description: 'Completion tokens so far, on a `token`.' }),
    ),
  },
);

const Chunk = Type.Object({
  id: Type.String(),
  object: Type.Literal('chat.completion.chunk'),
  created: Type.Integer({ description: 'Unix time in seconds.' }),
  model: Type.String(),
  system_fingerprint: Type.Null(),
  choices: Type.Array(
    Type.Object({
      index: Type.Integer(),
      delta: Type.Object({
        role: Type.Optional(Type.Literal('assistant')),
        content: Type.Optional(Type.String()),
        refusal: Type.Optional(Type.Null()),
      }),
      logprobs: Type.Null(),
      finish_reason: Type.Unsafe({ enum: ['stop', 'length', null] }),
    }),
  ),
  usage: Type.Optional(Type.Union([Usage, Type.Null()])),
});

/** Of `POST /v1/chat/completions`. */
export const ChatCompletionEvent = event(
  Type.Union([
    Type.Literal('[DONE]'),
    json(Type.Union([Chunk, Type.Object({ error: openAiError })])),
  ]),
);
