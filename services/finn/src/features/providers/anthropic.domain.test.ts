import type { ChatMessage } from '@arrakis/contracts';
import { describe, expect, test } from 'vitest';
import { readEvent, requestBody } from './anthropic.domain.ts';

function bodyOf(messages: readonly ChatMessage[]): Record<string, unknown> {
  const body = requestBody({ model: 'm', messages, maxTokens: 7 });
  return JSON.parse(body) as Record<string, unknown>;
}

describe('a request to Anthropic', () => {
  test('has the system texts joined beside the messages', () => {
    const body = bodyOf([
      { role: 'system', content: 'A' },
      { role: 'user', content: 'hi' },
      { role: 'system', content: 'B' },
    ]);
    expect(body).toMatchObject({ system: 'A\n\nB', max_tokens: 7, stream: true });
    expect(body.messages).toEqual([{ role: 'user', content: 'hi' }]);
  });

  test('has alternating turns', () => {
    const { messages } = bodyOf([
      { role: 'user', content: 'a' },
      { role: 'user', content: 'b' },
      { role: 'system', content: 's' },
      { role: 'user', content: 'c' },
      { role: 'assistant', content: 'd' },
    ]);
    expect(messages).toEqual([
      { role: 'user', content: 'a\n\nb\n\nc' },
      { role: 'assistant', content: 'd' },
    ]);
  });

  test('begins with a turn of the user even where the conversation does not', () => {
    const { messages } = bodyOf([{ role: 'assistant', content: 'Once  ' }]);
    expect(messages).toEqual([
      { role: 'user', content: '…' },
      { role: 'assistant', content: 'Once' },
    ]);
    expect(bodyOf([{ role: 'system', content: 'x' }]).messages).toHaveLength(1);
  });
});

describe('an event of Anthropic', () => {
  test('counts cached prompt tokens as prompt tokens', () => {
    const usage = {
      input_tokens: 5,
      cache_creation_input_tokens: 3,
      cache_read_input_tokens: 2,
      output_tokens: 1,
    };
    const event = readEvent(JSON.stringify({ type: 'message_start', message: { usage } }));
    expect(event).toMatchObject({ promptTokens: 10, completionTokens: 1 });
  });

  test('hands on text but no thinking', () => {
    const delta = (body: object): string =>
      readEvent(JSON.stringify({ type: 'content_block_delta', delta: body })).text;
    expect(delta({ type: 'text_delta', text: 'hello' })).toBe('hello');
    expect(delta({ type: 'thinking_delta', thinking: 'secret' })).toBe('');
  });

  test.each([
    ['overloaded_error', 'server_error'],
    ['api_error', 'server_error'],
    ['rate_limit_error', 'rate_limited'],
    ['invalid_request_error', 'rejected'],
    ['authentication_error', 'unauthorized'],
    ['constructor', 'server_error'],
  ])('that is an %s fails as %s, without its text', (type, code) => {
    const data = JSON.stringify({ type: 'error', error: { type, message: 'the prompt was: x' } });
    expect(() => readEvent(data)).toThrow(expect.objectContaining({ code }) as Error);
    expect(() => readEvent(data)).toThrow(/^(?!.*prompt)/);
  });

  test('of an unknown type is nothing', () => {
    expect(readEvent('{"type":"from_the_future"}')).toMatchObject({ text: '', stop: false });
  });
});
