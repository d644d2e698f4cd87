import { createPublicKey } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { JWKS_PATH, S2S_VERIFY_PATH } from '@arrakis/contracts';
import type { Queryable } from '@arrakis/postgres';
import { verifyEs256 } from '@arrakis/service-kit';
import { findCurrentKeys, parseActiveFile } from '@arrakis/signing-keys';
import type { ApiClient } from '../kubernetes/api.client.ts';
import { SECRETS, type SecretObject } from '../kubernetes/objects.ts';

export interface FakeReplica {
  readonly port: number;
  /** What it signs with; follows the Secret unless it is held. */
  kid: string | undefined;
  isHeld: boolean;
  /** Answers nothing but 503. */
  isBroken: boolean;
  servesKeys: boolean;
  acceptsTokens: boolean;
  close(): Promise<void>;
}

const FOLLOW_MS = 100;

/** An api and a finn in one: serves the key set, says what it signs with, verifies tokens. */
export async function startFakeReplica(init: {
  readonly host: string;
  readonly port?: number;
  readonly db: Queryable;
  readonly api: ApiClient;
  readonly secret: { readonly namespace: string; readonly name: string };
}): Promise<FakeReplica> {
  const server = createServer((request, response) => {
    request.resume();
    handle(request, response).catch(() => response.writeHead(500).end());
  });
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { status, body } = await answer(request);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const accepts = async (token: string): Promise<boolean> =>
    replica.acceptsTokens && (await verifies(init.db, token));
  const sayKid = (kid: string | undefined) =>
    kid === undefined
      ? { status: 503, body: {} }
      : { status: 200, body: { issuer: 'loa-freeside', activeKid: kid } };
  const answer = async (request: IncomingMessage): Promise<{ status: number; body: unknown }> => {
    if (replica.isBroken) return { status: 503, body: {} };
    switch (request.url) {
      case JWKS_PATH:
        return { status: 200, body: { keys: replica.servesKeys ? await keySet(init.db) : [] } };
      case '/signing-key':
        return sayKid(replica.kid);
      case S2S_VERIFY_PATH: {
        const token = request.headers.authorization ?? '';
        return { status: (await accepts(token)) ? 200 : 401, body: {} };
      }
      case undefined:
      default:
        return { status: 404, body: {} };
    }
  };
  const follow = setInterval(() => {
    if (replica.isHeld) return;
    void init.api
      .get<SecretObject>(SECRETS, init.secret)
      .then(({ data }) => {
        const text = Buffer.from(data?.['active.json'] ?? '', 'base64').toString('utf8');
        if (!replica.isHeld) replica.kid = parseActiveFile(text)?.activeKid ?? replica.kid;
      })
      .catch(() => undefined);
  }, FOLLOW_MS);
  await new Promise<void>((resolve) => server.listen(init.port ?? 0, init.host, resolve));
  const replica: FakeReplica = {
    port: (server.address() as AddressInfo).port,
    kid: undefined,
    isHeld: false,
    isBroken: false,
    servesKeys: true,
    acceptsTokens: true,
    close: () => {
      clearInterval(follow);
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
  return replica;
}

async function keySet(db: Queryable) {
  const keys = await findCurrentKeys(db);
  return keys.map(({ kid, x, y, issuer }) => ({
    ...{ kty: 'EC', crv: 'P-256', x, y, kid, alg: 'ES256', use: 'sig', issuer },
  }));
}

async function verifies(db: Queryable, authorization: string): Promise<boolean> {
  const [header = '', payload = '', signature = ''] = authorization
    .replace(/^Bearer /, '')
    .split('.');
  const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as { kid: string };
  const jwk = (await findCurrentKeys(db)).find((key) => key.kid === kid);
  if (jwk === undefined) return false;
  const key = createPublicKey({
    key: { kty: 'EC', crv: 'P-256', x: jwk.x, y: jwk.y },
    format: 'jwk',
  });
  return verifyEs256(Buffer.from(`${header}.${payload}`), key, Buffer.from(signature, 'base64url'));
}
