import { FinishReason, LIMITS, Pool, Usage } from '@arrakis/contracts';
import { Type, type Static } from 'typebox';

export const InferenceBody = Type.Object(
  {
    nft_id: Type.String({
      minLength: 1,
      maxLength: 140,
      description: "The agent: `chainId:contract:tokenId`, or its slug within the key's community.",
    }),
    pool: Type.Optional(Type.Enum(Pool.enum, { description: "The agent's own when absent." })),
    prompt: Type.Optional(
      Type.String({
        minLength: 1,
        description: `More than white space, at most ${LIMITS.promptBytes} bytes of UTF-8; never beside \`messages\`.`,
      }),
    ),
    messages: Type.Optional(
      Type.Array(
        Type.Object(
          {
            role: Type.Enum(['system', 'user', 'assistant']),
            content: Type.String({ minLength: 1 }),
          },
          { additionalProperties: false },
        ),
        {
          minItems: 1,
          maxItems: LIMITS.messages,
          description: `A conversation; each text more than white space, together at most ${LIMITS.promptBytes} bytes of UTF-8.`,
        },
      ),
    ),
    max_tokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: LIMITS.maxTokens,
        description: `Completion tokens at most; ${LIMITS.defaultMaxTokens} when absent.`,
      }),
    ),
    stream: Type.Optional(
      Type.Boolean({ description: 'Server-sent events instead of one object; false when absent.' }),
    ),
  },
  {
    $id: 'InferenceRequest',
    additionalProperties: false,
    examples: [{ nft_id: 'dune-sage', prompt: 'Who are you?', max_tokens: 80 }],
  },
);
export type InferenceBody = Static<typeof InferenceBody>;

/** Exactly one of them: checked by the route, which says better than a schema what is wrong. */
export const PROMPT_ALTERNATIVES = [{ required: ['prompt'] }, { required: ['messages'] }];

export const InferenceAnswer = Type.Object({
  id: Type.String({ description: 'The request id, under which the receipt is found.' }),
  content: Type.String(),
  usage: Usage,
  finish_reason: FinishReason,
  nft_id: Type.String(),
  pool: Pool,
  personality_id: Type.Union([Type.String(), Type.Null()]),
});
