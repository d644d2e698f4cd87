import { PROBLEMS, problem, type ProblemCode } from '@arrakis/contracts';
import { describe, expect, it } from 'vitest';
import { toOpenAiError } from './openai-error.ts';

const of = (code: ProblemCode, more: Partial<Parameters<typeof problem>[0]> = {}) =>
  toOpenAiError(problem({ code, requestId: 'r1', ...more }));

describe("a problem in OpenAI's envelope", () => {
  it.each([
    ['invalid_api_key', 'invalid_request_error', 'invalid_api_key'],
    ['unauthorized', 'invalid_request_error', null],
    ['rate_limited', 'requests', 'rate_limit_exceeded'],
    ['token_limit_reached', 'tokens', 'rate_limit_exceeded'],
    ['insufficient_credits', 'insufficient_quota', 'insufficient_quota'],
    ['model_not_found', 'invalid_request_error', 'model_not_found'],
    ['internal', 'server_error', 'internal'],
    ['inference_unavailable', 'server_error', 'inference_unavailable'],
    ['unsupported_parameter', 'invalid_request_error', 'unsupported_parameter'],
  ] as const)('has for %s the type %s and the code %s', (code, type, openaiCode) => {
    expect(of(code).error).toMatchObject({ type, code: openaiCode, problem: code });
  });

  it('exists for every problem, with all members that SDKs read', () => {
    for (const code of Object.keys(PROBLEMS) as ProblemCode[]) {
      const { error, request_id } = of(code);
      expect(error.message).not.toBe('');
      expect(error.type).not.toBe('');
      expect(error.param).toBeNull();
      expect(request_id).toBe('r1');
    }
  });

  it('names the faulty parameter as OpenAI would', () => {
    const { error } = of('invalid_request', {
      errors: [{ field: '/messages/0/a~1b', reason: 'must be string' }],
    });
    expect(error.param).toBe('messages[0].a/b');
    expect(error.message).toBe("The request is malformed: 'messages[0].a/b' must be string.");
  });

  it('keeps the limit and every fault', () => {
    const limit = { limit: 'tpd', remaining: '10', maxTokensThatFit: 3 };
    const errors = [{ field: 'header:x', reason: 'is required' }];
    expect(of('token_limit_reached', { limit, errors }).error).toMatchObject({ limit, errors });
  });

  it('speaks the detail if there is one', () => {
    expect(of('internal', { detail: 'Try later.' }).error.message).toBe('Try later.');
  });
});
