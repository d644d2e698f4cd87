import { describe, expect, test } from 'vitest';
import { allowedAttributes } from './allowlist.domain.ts';

describe('the allowlist', () => {
  test('passes what it names, in the shape that it names', () => {
    const attributes = {
      'http.route': '/v1/models/:model',
      'http.response.status_code': 200,
      'server.address': 'api.example.com',
      'error.type': 'UND_ERR_CONNECT_TIMEOUT',
      'arrakis.request_id': '01a202d3-cc24-72b1-8e74-bfaf96a359c3',
      'gen_ai.request.model': 'vendor/some model:free',
      'arrakis.time_to_first_token_ms': 0.25,
    };
    expect(allowedAttributes(attributes)).toEqual(attributes);
  });

  test.each([
    'url.full',
    'url.path',
    'url.query',
    'http.url',
    'http.target',
    'user_agent.original',
    'client.address',
    'network.peer.address',
    'http.request.header.authorization',
    'db.query.text',
    'exception.message',
    'exception.stacktrace',
    'arrakis.community_id',
    'arrakis.nft_id',
    '__proto__',
    'constructor',
    'toString',
  ])('drops %s', (key) => {
    expect(allowedAttributes(Object.fromEntries([[key, 'x']]))).toEqual({});
  });

  test.each([
    ['http.route', '/v1/models?key=secret'],
    ['http.route', 'https://example.com/v1'],
    ['server.address', 'user:pass@example.com'],
    ['error.type', 'connect ECONNREFUSED 10.0.0.1:5432'],
    ['error.type', ''],
    ['arrakis.request_id', '0x00000000000000000000000000000000000000aa'],
    ['arrakis.outcome', 'a sentence with a prompt in it'],
    ['arrakis.pool', ['cheap']],
    ['gen_ai.request.model', 'x'.repeat(201)],
    ['gen_ai.usage.input_tokens', '12'],
    ['gen_ai.usage.input_tokens', -1],
    ['gen_ai.usage.input_tokens', Number.NaN],
  ])('drops %s when its value is no such thing: %j', (key, value) => {
    expect(allowedAttributes({ [key]: value })).toEqual({});
  });
});
