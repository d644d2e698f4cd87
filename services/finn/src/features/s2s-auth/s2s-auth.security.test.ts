import {
  constants,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  sign,
  type KeyObject,
} from 'node:crypto';
import { connect } from 'node:net';
import { S2S_VERIFY_PATH } from '@arrakis/contracts';
import { generateSigningKey, serviceClaims, startTcpRelay, waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { request } from 'undici';
import { COMMUNITY_ID, NFTS, startFinn, type TestFinn } from '../../test-support/start-finn.ts';

let finn: TestFinn;
beforeAll(async () => {
  finn = await startFinn();
});
afterAll(() => finn.close());

const encode = (value: string | Uint8Array): string => Buffer.from(value).toString('base64url');
const claims = (change: object = {}) => ({
  ...serviceClaims(),
  community_id: COMMUNITY_ID,
  nft_id: NFTS.stoic,
  ...change,
});
const header = (change: object = {}) => ({ alg: 'ES256', kid: finn.key.kid, ...change });
const signingInput = (head: object | string, body: object | string): string =>
  [head, body]
    .map((part) => encode(typeof part === 'string' ? part : JSON.stringify(part)))
    .join('.');
const es256 = (input: string, key: KeyObject = finn.key.privateKey): string =>
  encode(sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }));
/** Signed as it should be, whatever header and claims say. */
const signed = (head: object | string, body: object | string): string => {
  const input = signingInput(head, body);
  return `${input}.${es256(input)}`;
};
const hmac = (secret: string | Buffer, head: object = header({ alg: 'HS256' })): string => {
  const input = signingInput(head, claims());
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
};

async function ask(authorization: string | undefined, to: TestFinn = finn) {
  const response = await request(`${to.url}${S2S_VERIFY_PATH}`, {
    method: 'POST',
    headers: authorization === undefined ? {} : { authorization },
  });
  const body = (await response.body.json()) as Record<string, unknown>;
  return { status: response.statusCode, headers: response.headers, body };
}
const verify = (token: string) => ask(`Bearer ${token}`);

describe('a good token', () => {
  test('is verified without being used up', async () => {
    const token = await finn.token();
    const expected = { status: 200, body: { kid: finn.key.kid, iss: 'loa-freeside' } };
    expect(await verify(token)).toMatchObject(expected);
    expect(await verify(token)).toMatchObject(expected);
    const response = await finn.infer({ prompt: 'x', stream: true }, { token });
    expect(response.statusCode).toBe(200);
    await response.body.dump();
  });

  test('may be announced in any case', async () => {
    expect((await ask(`bearer ${await finn.token()}`)).status).toBe(200);
  });
});

const der = (): string => {
  const input = signingInput(header(), claims());
  return `${input}.${encode(sign('sha256', Buffer.from(input), finn.key.privateKey))}`;
};
const withSignature = (bytes: Uint8Array): string =>
  `${signingInput(header(), claims())}.${encode(bytes)}`;
const otherCurve = (alg: string, namedCurve: string, hash: string): string => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve });
  const input = signingInput(header({ alg }), claims());
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' as const };
  return `${input}.${encode(sign(hash, Buffer.from(input), key))}`;
};
const rsa = (alg: string): string => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const input = signingInput(header({ alg }), claims());
  const padding = alg === 'PS256' ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING;
  return `${input}.${encode(sign('sha256', Buffer.from(input), { key: privateKey, padding }))}`;
};
const publicKey = (): KeyObject => createPublicKey(finn.key.privateKey);
const publicPem = (): string => publicKey().export({ type: 'spki', format: 'pem' }).toString();
const order = Buffer.from(
  'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  'hex',
);
const one = Buffer.concat([Buffer.alloc(31), Buffer.from([1])]);
const zero = Buffer.alloc(32);
const ownKey = generateSigningKey();
const selfSigned = (head: object): string => {
  const input = signingInput(head, claims());
  return `${input}.${es256(input, ownKey.privateKey)}`;
};
const HOUR = 3600;
const now = Math.floor(Date.now() / 1000);

const HOSTILE: [string, () => string][] = [
  ['no signature and alg none', () => `${signingInput(header({ alg: 'none' }), claims())}.`],
  ['alg none and a good signature', () => signed(header({ alg: 'none' }), claims())],
  ['alg nOnE', () => signed(header({ alg: 'nOnE' }), claims())],
  ['no alg', () => signed({ kid: finn.key.kid }, claims())],
  ['HS256 with the public key in PEM', () => hmac(publicPem())],
  ['HS256 with the PEM after a line break', () => hmac(`\n${publicPem()}`)],
  ['HS256 with the PEM without its last line break', () => hmac(publicPem().trim())],
  [
    'HS256 with the public key in DER',
    () => hmac(publicKey().export({ type: 'spki', format: 'der' })),
  ],
  ['HS256 with the JWK', () => hmac(JSON.stringify(finn.key.publicJwk))],
  [
    'HS256 with the raw point',
    () => hmac(Buffer.from(finn.key.publicJwk.x + finn.key.publicJwk.y, 'base64url')),
  ],
  ['HS256 with an empty key', () => hmac('')],
  ['an HMAC that calls itself ES256', () => hmac(publicPem(), header())],
  ['P-384', () => otherCurve('ES384', 'P-384', 'sha384')],
  ['P-384 that calls itself ES256', () => otherCurve('ES256', 'P-384', 'sha256')],
  ['P-521', () => otherCurve('ES512', 'P-521', 'sha512')],
  ['secp256k1', () => otherCurve('ES256', 'secp256k1', 'sha256')],
  ['RS256', () => rsa('RS256')],
  ['PS256', () => rsa('PS256')],
  ['a signature in DER', der],
  ['r and s zero', () => withSignature(new Uint8Array(64))],
  ['r zero', () => withSignature(Buffer.concat([zero, one]))],
  ['s zero', () => withSignature(Buffer.concat([one, zero]))],
  ['r and s equal to the order', () => withSignature(Buffer.concat([order, order]))],
  ['a signature by another key', () => selfSigned(header())],
  ['its own key in the header', () => selfSigned(header({ jwk: ownKey.publicJwk }))],
  [
    'a place to fetch its key from',
    () => signed(header({ jku: 'http://127.0.0.1:1/jwks' }), claims()),
  ],
  ['x5u', () => signed(header({ x5u: 'http://127.0.0.1:1/x' }), claims())],
  ['x5c', () => signed(header({ x5c: ['MII'] }), claims())],
  ['crit', () => signed(header({ crit: ['exp'] }), claims())],
  ['another typ', () => signed(header({ typ: 'at+jwt' }), claims())],
  ['no kid', () => signed({ alg: 'ES256' }, claims())],
  ['a kid that is a path', () => signed(header({ kid: '../../../dev/null' }), claims())],
  ['a kid that is SQL', () => signed(header({ kid: "x' UNION SELECT 1--" }), claims())],
  ['a kid that names a property', () => signed(header({ kid: '__proto__' }), claims())],
  ['an unknown kid', () => signed(header({ kid: 'unknown' }), claims())],
  [
    'alg given twice',
    () => signed(`{"alg":"none","alg":"ES256","kid":"${finn.key.kid}"}`, claims()),
  ],
  ['kid given twice', () => signed(`{"alg":"ES256","kid":"x","kid":"${finn.key.kid}"}`, claims())],
  [
    'a claim given twice',
    () => signed(header(), JSON.stringify(claims()).replace('{', '{"tier":"free",')),
  ],
  ['no aud', () => signed(header(), claims({ aud: undefined }))],
  ['an aud that is an array', () => signed(header(), claims({ aud: ['loa-finn'] }))],
  ['another aud', () => signed(header(), claims({ aud: 'loa-dixie' }))],
  ['an unknown issuer', () => signed(header(), claims({ iss: 'loa-other' }))],
  ['an issuer that does not own the key', () => signed(header(), claims({ iss: 'loa-dixie' }))],
  ['a life above a minute', () => signed(header(), claims({ exp: now + HOUR }))],
  ['no exp', () => signed(header(), claims({ exp: undefined }))],
  ['an exp that is text', () => signed(header(), claims({ exp: String(now + 50) }))],
  ['an exp in milliseconds', () => signed(header(), claims({ exp: Date.now() + 50_000 }))],
  ['an iat to come', () => signed(header(), claims({ iat: now + 90, exp: now + 120 }))],
  ['an exp long past', () => signed(header(), claims({ iat: now - HOUR, exp: now - HOUR + 60 }))],
  ['an nbf to come', () => signed(header(), claims({ nbf: now + HOUR }))],
  ['no jti', () => signed(header(), claims({ jti: undefined }))],
  ['no reservation', () => signed(header(), claims({ budget_reservation_id: undefined }))],
  ['an unknown claim', () => signed(header(), claims({ role: 'admin' }))],
  ['padding', () => signed(header(), claims()).replace('.', '=.')],
  ['JSON serialisation', () => JSON.stringify({ protected: 'x', payload: 'x', signature: 'x' })],
  ['five parts', () => `${signed(header(), claims())}.a.b`],
  ['nothing', () => ''],
  ['sixteen thousand characters less the rest', () => 'a'.repeat(12_000)],
];

describe('a hostile token', () => {
  test.each(HOSTILE)('with %s is refused, and told nothing', async (_what, make) => {
    const { status, headers, body } = await verify(make());
    expect(status).toBe(401);
    expect(headers['www-authenticate']).toBe('Bearer realm="loa-finn", error="invalid_token"');
    expect(headers['content-type']).toBe('application/problem+json');
    const { requestId, ...rest } = body;
    expect(typeof requestId).toBe('string');
    expect(rest).toEqual({
      type: 'urn:arrakis:problem:invalid_token',
      title: 'The service token is not valid',
      status: 401,
      code: 'invalid_token',
    });
  });

  test('has its precise reason in the metric and the log, without the token', async () => {
    const before = await finn.metric('finn_s2s_rejections_total', { reason: 'audience' });
    const token = signed(header(), claims({ aud: ['loa-finn'] }));
    await verify(token);
    expect(await finn.metric('finn_s2s_rejections_total', { reason: 'audience' })).toBe(before + 1);
    const lines = JSON.stringify(finn.lines);
    expect(lines).toContain('"reason":"audience"');
    expect(lines).not.toContain(token.split('.')[2]);
  });

  test.each([
    'Basic dXNlcjpwYXNz',
    'Bearer',
    'Bearer a b',
    'Token x',
    'Bearer  x',
    'Bearer x,Bearer y',
  ])('in the form %j is refused', async (authorization) => {
    expect((await ask(authorization)).status).toBe(401);
  });

  test('that is absent is refused', async () => {
    expect(await ask(undefined)).toMatchObject({ status: 401, body: { code: 'invalid_token' } });
  });

  test('beside a good one is refused', async () => {
    const { hostname, port } = new URL(finn.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST ${S2S_VERIFY_PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n` +
        `Authorization: Bearer ${await finn.token()}\r\nAuthorization: Bearer x\r\n\r\n`,
    );
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    expect(answer).toMatch(/^HTTP\/1\.1 40[01] /);
  });

  test('keeps finn from reading the body at all', async () => {
    const response = await finn.infer('{"prompt": nonsense', { token: 'x.y.z' });
    expect(response.statusCode).toBe(401);
    await response.body.dump();
  });
});

describe('the key set', () => {
  test('is fetched once for a flood of unknown kids, and valid callers do not wait for it', async () => {
    const other = await startFinn();
    try {
      const before = other.jwks.fetches;
      const release = other.jwks.hold();
      const flood = Array.from({ length: 50 }, (_, index) =>
        ask(`Bearer ${signed(header({ kid: `made-up-${index}` }), claims())}`, other),
      );
      await waitFor(() => other.jwks.fetches > before);
      expect((await ask(`Bearer ${await other.token()}`, other)).status).toBe(200);
      release();
      const statuses = (await Promise.all(flood)).map(({ status }) => status);
      expect(new Set(statuses)).toEqual(new Set([401]));
      expect(other.jwks.fetches).toBe(before + 1);
    } finally {
      await other.close();
    }
  });

  test('may change: a new kid is found at once, and finn lives through bad answers', async () => {
    const other = await startFinn();
    try {
      const next = generateSigningKey();
      other.jwks.serve({
        keys: [{ ...finn.key.publicJwk, kty: 'oct' }, other.key.publicJwk, next.publicJwk],
      });
      const input = signingInput({ alg: 'ES256', kid: next.kid }, claims());
      const token = `${input}.${es256(input, next.privateKey)}`;
      expect(await ask(`Bearer ${token}`, other)).toMatchObject({
        status: 200,
        body: { kid: next.kid },
      });

      for (const bad of ['<html>', '{"keys":[]}', '{"keys":"x"}', 'x'.repeat(100_000)]) {
        other.jwks.serve(bad);
        expect((await ask(`Bearer ${await other.token()}`, other)).status).toBe(200);
      }
    } finally {
      await other.close();
    }
  });
});

describe('Redis', () => {
  test('away or slow means 503, and that nothing runs, not even later', async () => {
    let relay: Awaited<ReturnType<typeof startTcpRelay>> | undefined;
    const redisUrls: string[] = [];
    const other = await startFinn({
      redisUrl: async (url) => {
        redisUrls.push(url);
        const parsed = new URL(url);
        relay = await startTcpRelay({ targetPort: Number(parsed.port) });
        parsed.host = `127.0.0.1:${relay.port}`;
        return parsed.href;
      },
    });
    try {
      const asked = () => other.vendor.requests.filter(({ method }) => method === 'POST').length;
      const infer = async () => {
        const response = await other.infer({ prompt: 'x', stream: true });
        const body = await response.body.text();
        return { status: response.statusCode, body };
      };
      expect((await infer()).status).toBe(200);
      expect(asked()).toBe(1);

      relay?.blackHole();
      const startedAt = performance.now();
      const slow = await infer();
      expect(slow.status).toBe(503);
      expect(slow.body).toContain('service_unavailable');
      expect(performance.now() - startedAt).toBeLessThan(3_000);

      await relay?.cut();
      expect((await infer()).status).toBe(503);
      expect(asked()).toBe(1);
      await expect(other.context.checks.redis()).rejects.toThrow();

      await relay?.restore();
      await waitFor(async () => (await infer()).status === 200);
      expect(asked()).toBe(2);
    } finally {
      await other.close();
      await relay?.close();
    }
  });
});
