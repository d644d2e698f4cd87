import { randomUUID } from 'node:crypto';
import { INFERENCE_PATH, LIMITS, type Problem } from '@arrakis/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { request } from 'undici';
import { startFinn, type TestFinn } from '../../test-support/start-finn.ts';

let finn: TestFinn;
beforeAll(async () => {
  finn = await startFinn();
});
afterAll(() => finn.close());

const vendorCalls = () => finn.vendor.requests.filter(({ method }) => method === 'POST').length;

const BAD_BODIES: [string, unknown, number, string][] = [
  ['broken JSON', '{"prompt":', 400, 'malformed_json'],
  ['nothing', '', 400, 'malformed_json'],
  ['an array', [], 400, 'invalid_request'],
  ['no stream', { prompt: 'x' }, 400, 'invalid_request'],
  ['stream as text', { prompt: 'x', stream: 'true' }, 400, 'invalid_request'],
  ['neither prompt nor messages', { stream: true }, 400, 'invalid_request'],
  [
    'both prompt and messages',
    { prompt: 'x', messages: [{ role: 'user', content: 'x' }], stream: true },
    400,
    'invalid_request',
  ],
  ['an empty prompt', { prompt: '', stream: true }, 400, 'invalid_request'],
  ['a blank prompt', { prompt: ' \n\t\u00a0', stream: true }, 400, 'invalid_request'],
  ['a prompt of another type', { prompt: ['x'], stream: true }, 400, 'invalid_request'],
  ['no messages', { messages: [], stream: true }, 400, 'invalid_request'],
  [
    'an unknown role',
    { messages: [{ role: 'tool', content: 'x' }], stream: true },
    400,
    'invalid_request',
  ],
  ['max_tokens as text', { prompt: 'x', stream: true, max_tokens: '1' }, 400, 'invalid_request'],
  ['max_tokens 0', { prompt: 'x', stream: true, max_tokens: 0 }, 400, 'invalid_request'],
  ['max_tokens 1.5', { prompt: 'x', stream: true, max_tokens: 1.5 }, 400, 'invalid_request'],
  ['absurd max_tokens', { prompt: 'x', stream: true, max_tokens: 1e9 }, 400, 'invalid_request'],
  ['an unknown field', { prompt: 'x', stream: true, model: 'gpt' }, 400, 'invalid_request'],
  ['NUL', '{"prompt":"a\\u0000b","stream":true}', 400, 'invalid_encoding'],
  ['half a surrogate pair', '{"prompt":"\\ud800","stream":true}', 400, 'invalid_encoding'],
  ['a prototype', '{"prompt":"x","stream":true,"__proto__":{"a":1}}', 400, 'invalid_request'],
  [
    'too many bytes of prompt',
    { prompt: '\u20ac'.repeat(LIMITS.promptBytes / 2), stream: true },
    413,
    'body_too_large',
  ],
  [
    'too many bytes at all',
    { prompt: 'x'.repeat(LIMITS.bodyBytes), stream: true },
    413,
    'body_too_large',
  ],
];

describe('a bad body', () => {
  test.each(BAD_BODIES)(
    'with %s is refused before anything is used up',
    async (_what, body, status, code) => {
      const reservation = randomUUID();
      const token = await finn.token({ claims: { budget_reservation_id: reservation } });
      const before = vendorCalls();
      const response = await finn.infer(body, { token });
      const problem = (await response.body.json()) as Problem;
      expect(problem).toMatchObject({ status, code, requestId: reservation });
      expect(response.statusCode).toBe(status);
      expect(response.headers['content-type']).toBe('application/problem+json');
      expect(response.headers['x-request-id']).toBe(reservation);
      expect(vendorCalls()).toBe(before);

      const good = await finn.infer({ prompt: 'x', stream: true }, { token });
      expect(good.statusCode).toBe(200);
      await good.body.dump();
    },
  );

  test('of another content type is refused', async () => {
    const response = await request(`${finn.url}${INFERENCE_PATH}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${await finn.token()}`, 'content-type': 'text/plain' },
      body: '{"prompt":"x","stream":true}',
    });
    expect(response.statusCode).toBe(415);
    await response.body.dump();
  });
});

describe('the public port', () => {
  test('answers /health without a token', async () => {
    const response = await request(`${finn.url}/health`);
    expect(response.statusCode).toBe(200);
    expect(await response.body.json()).toEqual({
      status: 'ok',
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    });
  });

  test.each(['/metrics', '/readyz', '/livez', '/'])('has no %s', async (path) => {
    const response = await request(`${finn.url}${path}`);
    expect(response.statusCode).toBe(404);
    await response.body.dump();
  });

  test('knows no other method for inference', async () => {
    const response = await request(`${finn.url}${INFERENCE_PATH}`);
    expect(response.statusCode).toBe(405);
    await response.body.dump();
  });
});

test('neither prompt, answer, token nor key reaches the log', async () => {
  const token = await finn.token();
  finn.vendor.script('fake-model', { steps: ['answer-canary'] });
  const response = await finn.infer({ prompt: 'prompt-canary', stream: true }, { token });
  await response.body.dump();
  const log = JSON.stringify(finn.lines);
  for (const secret of ['prompt-canary', 'answer-canary', token, finn.vendor.apiKey]) {
    expect(log).not.toContain(secret);
  }
});
