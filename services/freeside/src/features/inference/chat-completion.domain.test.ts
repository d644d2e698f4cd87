import { Value } from 'typebox/value';
import { describe, expect, it } from 'vitest';
import {
  NEUTRAL_PARAMETERS,
  readChatCompletion,
  type ChatCompletionBody,
} from './chat-completion.domain.ts';
import { ChatCompletionRequest } from './chat-completions.schema.ts';

const OFFERED = [
  'model',
  'messages',
  'max_tokens',
  'max_completion_tokens',
  'stream',
  'stream_options',
  'user',
  'safety_identifier',
  'prompt_cache_key',
];

const body = (change: object = {}): ChatCompletionBody => ({
  model: 'ada@cheap',
  messages: [{ role: 'user', content: 'Hi' }],
  ...change,
});

describe('a chat completion request', () => {
  it('has no parameter that is accepted and then overlooked', () => {
    const { properties } = ChatCompletionRequest as unknown as { properties: object };
    expect(Object.keys(properties).sort()).toEqual([...OFFERED, ...NEUTRAL_PARAMETERS].sort());
  });

  it.each(NEUTRAL_PARAMETERS)('may have a null %s', (name) => {
    const request = body({ [name]: null });
    expect(Value.Check(ChatCompletionRequest, request)).toBe(true);
    expect(readChatCompletion(request).ok).toBe(true);
  });

  it('names every parameter that it cannot have', () => {
    const read = readChatCompletion(body({ temperature: 0, top_p: 0.1, n: 3 }));
    expect(read).toMatchObject({
      ok: false,
      refusal: {
        code: 'unsupported_parameter',
        errors: [{ field: '/n' }, { field: '/temperature' }, { field: '/top_p' }],
      },
    });
  });

  it('becomes a command with our defaults', () => {
    expect(readChatCompletion(body())).toEqual({
      ok: true,
      command: {
        model: 'ada@cheap',
        agent: 'ada',
        pool: 'cheap',
        messages: [{ role: 'user', content: 'Hi' }],
        maxTokens: 512,
        stream: false,
        includeUsage: false,
      },
    });
  });
});
