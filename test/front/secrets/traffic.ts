import { randomBytes } from 'node:crypto';
import { signServiceToken } from '@arrakis/testkit';
import { connect } from '@nats-io/transport-node';
import { USAGE_STREAM } from '@arrakis/contracts';
import { natsOptions } from '@arrakis/nats';
import { ask, askRaw, type Answer, type Ask } from './client.ts';
import type { Stage } from './stage.ts';

const SAGE = 'dune-sage';
const JSON_TYPE = { 'content-type': 'application/json' };

/** Answers so far, each with what was asked, for the search. */
export interface Heard extends Answer {
  readonly what: string;
}

/** A client that says too much: something is planted wherever a client can say something. */
export interface Talker {
  readonly heard: readonly Heard[];
  /** Asks with the key and with something in every header. */
  say(request: Ask, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  saySomething(url: string, request: Ask): Promise<Answer>;
  sayRaw(url: string, bytes: string): Promise<Answer>;
  /** A prompt that nobody else has. */
  prompt(name: string): string;
  readonly inference: (fields?: object) => Ask;
  readonly chat: (fields?: object) => Ask;
}

export function createTalker(stage: Stage, apiKey: string): Talker {
  const { canaries, apiUrl } = stage;
  const heard: Heard[] = [];
  const noisy = noisyHeaders(stage);
  const prompt = (name: string): string =>
    canaries.text(`prompt: ${name}`, 'client', 'My "seed phrase"\nis ', ` and my wallet ${wallet}`);
  const wallet = canaries.wallet('wallet in a prompt');
  const note = (what: string, answer: Answer): Answer => {
    heard.push({ what, ...answer });
    return answer;
  };
  const saySomething = async (url: string, request: Ask): Promise<Answer> =>
    note(`${request.method ?? ''} ${request.path}`, await ask(url, request));
  return {
    heard,
    prompt,
    saySomething,
    say: (request, headers = {}) =>
      saySomething(apiUrl, {
        ...request,
        headers: {
          ...noisy,
          authorization: `Bearer ${apiKey}`,
          ...(request.body === undefined ? {} : JSON_TYPE),
          ...request.headers,
          ...headers,
        },
      }),
    sayRaw: async (url, bytes) => note(bytes.slice(0, 40), await askRaw(url, bytes)),
    inference: (fields = {}) => ({
      path: '/api/v1/inference',
      body: JSON.stringify({
        nft_id: SAGE,
        prompt: prompt('inference'),
        max_tokens: 50,
        ...fields,
      }),
    }),
    chat: (fields = {}) => ({
      path: '/v1/chat/completions',
      body: JSON.stringify({
        model: SAGE,
        messages: [
          { role: 'system', content: prompt('system message') },
          {
            role: 'user',
            content: prompt('chat'),
            name: canaries.text('name in a message', 'client'),
          },
        ],
        user: canaries.text('user of a completion', 'client'),
        safety_identifier: canaries.wallet('safety identifier'),
        max_tokens: 50,
        ...fields,
      }),
    }),
  };
}

function noisyHeaders({ canaries }: Stage): Record<string, string> {
  const names = [
    'user-agent',
    'x-custom',
    'x-request-id',
    'x-forwarded-for',
    'forwarded',
    'origin',
  ];
  const more = ['x-contract-version', 'idempotency-key', 'x-real-ip', 'x-api-key', 'x-pool-used'];
  const plain = [...names, ...more, 'proxy-authorization', 'tracestate'].map((name) => [
    name,
    `a=${canaries.text(`header ${name}`, 'client')}`,
  ]);
  return {
    ...(Object.fromEntries(plain) as Record<string, string>),
    cookie: `session=${canaries.text('cookie', 'client')}; theme=dark`,
    referer: `https://example.org/?token=${canaries.text('referer', 'client')}`,
    baggage: `userId=${canaries.text('baggage', 'client')}`,
    traceparent: `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`,
    'x-wallet-address': canaries.wallet('wallet in a header'),
  };
}

export async function succeed({ talker, stage }: Scene): Promise<void> {
  const { canaries, vendor } = stage;
  const answer = canaries.text('what the model answers', 'client', 'Your secret is ');
  vendor.script('fake-model', { steps: ['Well. ', answer] });
  await Promise.all([
    talker.say(talker.inference()),
    talker.say(talker.inference({ stream: true })),
    talker.say(talker.chat()),
    talker.say(talker.chat({ stream: true, stream_options: { include_usage: true } })),
    ...['/v1/models', `/v1/models/${SAGE}`, '/api/v1/balance', '/health', '/openapi.json'].map(
      (path) => talker.say({ path: `${path}?wallet=${canaries.wallet(`query of ${path}`)}` }),
    ),
  ]);
  const receipt = talker.heard.map(({ text }) => /x-request-id\n(\S+)/i.exec(text)?.[1])[0] ?? '';
  await talker.say({
    path: `/api/v1/usage/${receipt}?k=${canaries.text('query: receipt', 'client')}`,
  });
}

export interface Scene {
  readonly talker: Talker;
  readonly stage: Stage;
}

/** Bodies that break every rule there is, each with something in the value that is wrong. */
export async function sendBadBodies({ talker, stage }: Scene): Promise<void> {
  const bad = (name: string): string => stage.canaries.text(`bad value: ${name}`, 'client');
  const wallet = (name: string): string => stage.canaries.wallet(`bad value: ${name}`);
  const requests: Ask[] = [
    talker.inference({ nft_id: wallet('nft_id') }),
    talker.inference({ nft_id: { a: bad('object for nft_id') } }),
    talker.inference({ nft_id: `${bad('long nft_id')}${'x'.repeat(200)}` }),
    talker.inference({ pool: bad('pool') }),
    talker.inference({ nft_id: 'market-scout', pool: 'flagship' }),
    talker.inference({ max_tokens: bad('max_tokens') }),
    talker.inference({ stream: bad('stream') }),
    talker.inference({ prompt: { text: bad('prompt as object') } }),
    talker.inference({ messages: [{ role: bad('role'), content: bad('content') }] }),
    talker.inference({ prompt: undefined, messages: [{ role: 'user', content: [bad('parts')] }] }),
    talker.inference({ metadata: { secret: bad('unknown field') } }),
    talker.inference({ prompt: `\0${bad('NUL')}` }),
    talker.chat({ model: wallet('model') }),
    talker.chat({ model: `${SAGE}@${bad('pool of a model')}` }),
    talker.chat({
      messages: [{ role: 'tool', content: bad('tool'), tool_call_id: bad('call id') }],
    }),
    talker.chat({
      messages: [
        { role: 'user', content: [{ type: 'image_url', image_url: { url: bad('image') } }] },
      ],
    }),
    talker.chat({ temperature: bad('temperature'), user: { id: bad('user as object') } }),
    talker.chat({
      tools: [{ type: 'function', function: { name: bad('tool name') } }],
      stop: bad('stop'),
    }),
    talker.chat({
      metadata: { wallet: wallet('metadata') },
      response_format: { type: bad('format') },
    }),
    talker.chat({ user: `${bad('long user')}${'x'.repeat(300)}` }),
  ];
  const broken = [
    `{"prompt": "${bad('cut JSON')}`,
    bad('no JSON'),
    `"${bad('a string')}"`,
    `[${'['.repeat(40)}"${bad('deep')}"`,
  ];
  for (const path of ['/api/v1/inference', '/v1/chat/completions']) {
    requests.push(...broken.map((body) => ({ path, body })));
    requests.push({
      path,
      body: bad('text'),
      headers: { 'content-type': `text/plain; x=${bad('content type')}` },
    });
    requests.push({ path, body: `{"prompt":"${bad('large')}${'x'.repeat(1_100_000)}"}` });
    requests.push({ path, body: `{"__proto__":{"a":"${bad('prototype')}"}}` });
    requests.push({ path, body: `{"a":"${bad('first')}","a":"${bad('second')}"}` });
  }
  for (const request of requests) await talker.say(request);
}

/** Secrets in paths and queries, on routes that exist and on others, well-formed and not. */
export async function sendBadPaths({ talker, stage }: Scene): Promise<void> {
  const { canaries, apiUrl, finnUrl } = stage;
  const text = (name: string): string => canaries.text(`path: ${name}`, 'client');
  const wallet = (name: string): string => canaries.wallet(`path: ${name}`);
  const paths = [
    `/wallets/${wallet('unknown route')}`,
    `/v1/models/${wallet('model')}`,
    `/v1/models/${text('long')}${'x'.repeat(300)}`,
    `/api/v1/usage/${text('receipt')}`,
    `/api/v1/usage/01a202c6-bf0a-738b-9a8d-206440275cbc/${text('beyond')}`,
    `/v1/models/%zz${text('bad escape')}`,
    `/health?key=${text('query')}&wallet=${wallet('query')}%00`,
    `/.well-known/jwks.json?token=${text('jwks')}`,
    `/docs/${text('docs')}`,
    `/..%2f..%2f${text('traversal')}`,
    `//${text('host')}/`,
    `/?${text('root')}`,
  ];
  for (const path of paths) {
    await talker.say({ path });
    await talker.say({ path, method: 'DELETE' });
    await talker.saySomething(finnUrl, { path });
  }
  for (const url of [apiUrl, finnUrl, ...stage.system.members.map(({ adminUrl }) => adminUrl)]) {
    const raw = (name: string): string => canaries.text(`raw ${name} to ${url}`, 'client');
    await talker.sayRaw(url, `GET /${raw('path')} HTTP/1.1\r\n\r\n`);
    await talker.sayRaw(url, `${raw('method')} / HTTP/1.1\r\nhost: a\r\n\r\n`);
    await talker.sayRaw(url, `GET / HTTP/1.1\r\nhost: a\r\nbad ${raw('header')}: 1\r\n\r\n`);
    await talker.sayRaw(
      url,
      `GET / HTTP/1.1\r\nhost: a\r\nx: ${raw('large')}${'x'.repeat(20_000)}\r\n\r\n`,
    );
    await talker.sayRaw(
      url,
      `GET / HTTP/1.1\r\nhost: a\r\nexpect: ${raw('expectation')}\r\nconnection: close\r\n\r\n`,
    );
    await talker.sayRaw(url, `CONNECT ${raw('connect')}:443 HTTP/1.1\r\nhost: a\r\n\r\n`);
    await talker.sayRaw(url, `${raw('no HTTP at all')}\r\n\r\n`);
  }
}

/** Keys that are no keys, and keys that are none any more. */
export async function sendBadKeys({ talker, stage }: Scene, revoked: string): Promise<void> {
  const { canaries, finnUrl } = stage;
  const secret = (name: string): string => canaries.text(`credentials: ${name}`, 'client');
  const base = `lf_live_${'a2'.repeat(6)}_`;
  const known = `${revoked.slice(0, -32)}${secret('wrong secret')}`;
  const credentials = [
    revoked,
    known,
    base + secret('unknown prefix'),
    `sk-${secret('key of a vendor')}`,
    `lf_live_${secret('malformed')}`,
    jwtOf(secret('claim'), secret('kid')),
  ].map((key) => `Bearer ${key}`);
  credentials.push(`Basic ${Buffer.from(`me:${secret('basic')}`).toString('base64')}`);
  credentials.push(secret('bare'), `Bearer  ${secret('two spaces')} x`);
  const requests: Ask[] = [
    talker.inference(),
    talker.chat(),
    { path: '/v1/models' },
    { path: '/api/v1/balance' },
  ];
  for (const [index, authorization] of credentials.entries()) {
    // From many addresses, or they would soon be throttled.
    const headers = { authorization, 'x-forwarded-for': `198.51.100.${String(index + 1)}` };
    for (const request of requests) await talker.say(request, headers);
    const body = JSON.stringify({ prompt: talker.prompt('to finn'), stream: false });
    await talker.saySomething(finnUrl, {
      path: '/api/v1/inference',
      body,
      headers: { ...JSON_TYPE, authorization },
    });
    await talker.saySomething(finnUrl, {
      path: '/api/v1/s2s/verify',
      body: '{}',
      headers: { ...JSON_TYPE, authorization },
    });
  }
}

/** Tokens that freeside would never sign, and a neighbour that says too much with a valid one. */
export async function speakAsNeighbour({ talker, stage }: Scene): Promise<void> {
  const { canaries, finnUrl, signingKey, communityId } = stage;
  const text = (name: string): string => canaries.text(`token: ${name}`, 'client');
  const agent = {
    nft_id: '1:0x00000000000000000000000000000000000a11ce:1',
    community_id: communityId,
  };
  const send = async (claims: object, header: object = {}, more: object = {}): Promise<Answer> => {
    const token = await signServiceToken(signingKey, {
      claims: { ...agent, ...claims },
      header: { ...header },
    });
    const headers = { ...JSON_TYPE, authorization: `Bearer ${token}`, ...more };
    const body = JSON.stringify({
      prompt: talker.prompt('of a neighbour'),
      max_tokens: 5,
      stream: false,
    });
    return talker.saySomething(finnUrl, { path: '/api/v1/inference', body, headers });
  };
  const accepted = await send({}, {}, { 'x-contract-version': text('contract version') });
  if (accepted.status !== 200) throw new Error(`a valid token was refused: ${accepted.text}`);
  await send({}, {}, { 'x-request-id': text('request id'), baggage: `a=${text('baggage')}` });
  await send({ nft_id: `1:${canaries.wallet('token: nft_id')}:1` });
  await send({ nft_id: text('nft_id') });
  // A well-formed one is no secret: it is what Redis remembers.
  await send({ jti: `${text('jti')} ` });
  for (const claim of ['iss', 'aud', 'tier', 'community_id', 'pool', 'wallet', 'exp']) {
    await send({ [claim]: text(claim) });
  }
  for (const name of ['kid', 'jku', 'typ', 'x5u']) await send({}, { [name]: text(name) });
}

function jwtOf(claim: string, kid: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = part({ alg: 'ES256', typ: 'JWT', kid });
  return `${head}.${part({ iss: 'loa-freeside', aud: 'loa-finn', sub: claim })}.${'A'.repeat(86)}`;
}

/** Limits that are reached, of a key that has small ones. */
export async function exhaust({ talker, stage }: Scene): Promise<void> {
  const poor = await stage.createApiKey('--rpm', '2', '--tpd', '5000');
  const headers = { authorization: `Bearer ${poor}` };
  for (let index = 0; index < 4; index += 1) await talker.say(talker.inference(), headers);
  await talker.say(talker.chat({ max_tokens: 30_000 }), headers);
  // More than the community has.
  await talker.say(
    talker.chat({
      model: `${SAGE}@flagship`,
      max_tokens: 32_768,
      messages: [{ role: 'user', content: `${talker.prompt('dear')} ${'word '.repeat(50_000)}` }],
    }),
  );
}

/** Vendors that fail in every way, with something to leak in whatever they say. */
export async function failVendors({ talker, stage }: Scene): Promise<void> {
  const { canaries, vendor } = stage;
  const said = (name: string): string => canaries.text(`vendor: ${name}`, 'secret');
  const model = `${SAGE}@flagship`;
  // Each request falls through the traps until one of them has sent a first token.
  for (const stream of [false, true, false, true, false, true]) {
    await talker.say(talker.chat({ model, stream }));
    await talker.say(talker.inference({ pool: 'flagship', stream }));
  }
  const scenarios = [401, 403, 404, 429, 500, 503].map((status) => ({
    status,
    errorMessage: said(`error ${String(status)}`),
  }));
  for (const scenario of scenarios) {
    vendor.script('fake-model', scenario);
    await talker.say(talker.inference({ pool: 'cheap' }));
  }
  vendor.script('fake-model', { steps: ['Well', { streamError: said('error in a stream') }] });
  for (const stream of [false, true]) await talker.say(talker.inference({ stream, pool: 'cheap' }));
  vendor.script('fake-model', { steps: ['Well', { raw: `data: {"${said('broken chunk')}\n\n` }] });
  for (const stream of [false, true]) await talker.say(talker.inference({ stream, pool: 'cheap' }));
  vendor.script('fake-model', { steps: ['Well', { cut: true }] });
  for (const stream of [false, true]) await talker.say(talker.chat({ stream }));
  vendor.script('fake-model', {});
}

/** Usage events that finn never sent. */
export async function poisonEvents({ stage }: Scene): Promise<void> {
  const { canaries } = stage;
  const text = (name: string): string => canaries.text(`event: ${name}`, 'message');
  const connection = await connect(natsOptions(stage.natsUrl, 'poisoner'));
  const wellFormed = {
    contract_version: '1.0.0',
    budget_reservation_id: '01a202c6-bf0a-738b-9a8d-206440275cbc',
    community_id: '01a202c6-bf0a-738b-9a8d-206440275cbd',
    nft_id: '1:0x00000000000000000000000000000000000a11ce:1',
    ...{ tokens_used: 2, prompt_tokens: 1, completion_tokens: 1, latency_ms: 1 },
    ...{ model: text('model'), pool_used: 'cheap', personality_id: text('personality') },
    ...{ finality: 'final', occurred_at: '2026-01-01T00:00:00.000Z' },
  };
  const messages = [
    text('no JSON'),
    `{"prompt":"${text('other JSON')}"}`,
    JSON.stringify(wellFormed),
    JSON.stringify({ ...wellFormed, [text('unknown name')]: text('unknown value') }),
    JSON.stringify({ ...wellFormed, budget_reservation_id: text('bad id') }),
  ];
  for (const message of messages) {
    connection.publish(USAGE_STREAM.subject, Buffer.from(message));
  }
  await connection.drain();
}
