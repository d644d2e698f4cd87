import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { S2S_AUDIENCE, S2S_VERIFY_PATH, JwkSet } from '@arrakis/contracts';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { Value } from 'typebox/value';
import { request } from 'undici';

export type FakeFinnMode = 'verify' | 'accept_everything' | 'refuse_everything' | 'broken';

export interface FakeFinn {
  readonly url: string;
  mode: FakeFinnMode;
  /** Kids of the tokens it accepted. */
  readonly accepted: string[];
  close(): Promise<void>;
}

/** Verifies tokens as finn does, against a key set that it fetches each time. */
export async function startFakeFinn(
  jwksUrl: () => string,
  now: () => Date = () => new Date(),
): Promise<FakeFinn> {
  const server = createServer((message, response) => {
    void answer(message, response);
  });
  const answer = async (message: IncomingMessage, response: ServerResponse): Promise<void> => {
    message.resume();
    response.statusCode = message.url === S2S_VERIFY_PATH ? await decide(message) : 404;
    response.setHeader('content-type', 'application/json');
    response.end('{}');
  };
  const decide = async (message: IncomingMessage): Promise<number> => {
    if (finn.mode === 'broken') return 503;
    if (finn.mode === 'accept_everything') return 200;
    if (finn.mode === 'refuse_everything' || message.method !== 'POST') return 401;
    try {
      const kid = await verify(message.headers.authorization ?? '', jwksUrl(), now());
      finn.accepted.push(kid);
      return 200;
    } catch {
      return 401;
    }
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const finn: FakeFinn = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    mode: 'verify',
    accepted: [],
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return finn;
}

async function verify(authorization: string, jwksUrl: string, currentDate: Date): Promise<string> {
  const { body } = await request(jwksUrl);
  const set: unknown = await body.json();
  if (!Value.Check(JwkSet, set)) throw new Error('no key set');
  const { protectedHeader } = await jwtVerify(
    authorization.replace(/^Bearer /, ''),
    createLocalJWKSet(set),
    { algorithms: ['ES256'], audience: S2S_AUDIENCE, maxTokenAge: 90, currentDate },
  );
  return protectedHeader.kid ?? '';
}
