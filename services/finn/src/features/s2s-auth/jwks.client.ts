import { createPublicKey, type KeyObject } from 'node:crypto';
import type { S2SIssuer } from '@arrakis/contracts';
import { Agent, request, type Dispatcher } from 'undici';
import { parseKeySet, type PublishedKey } from './jwks.domain.ts';

const CONNECT_TIMEOUT_MS = 2_000;
const TIMEOUT_MS = 3_000;
/** 32 keys need 8 KiB. */
const MAX_BYTES = 64 * 1024;

export interface VerificationKey {
  readonly kid: string;
  readonly issuer: S2SIssuer | undefined;
  readonly key: KeyObject;
}

/** Fetches the key set that freeside publishes. Failures throw; their message has no body. */
export class JwksClient {
  readonly #url: string;
  readonly #agent = new Agent({ connections: 1, connect: { timeout: CONNECT_TIMEOUT_MS } });

  constructor(url: string) {
    this.#url = url;
  }

  /** @throws when the endpoint can't be reached in time or doesn't answer with a key set */
  async fetchKeys(): Promise<readonly VerificationKey[]> {
    const response = await request(this.#url, {
      dispatcher: this.#agent,
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.statusCode !== 200) {
      await response.body.dump();
      throw new Error(`the key set endpoint answered ${String(response.statusCode)}`);
    }
    const published = parseKeySet(JSON.parse(await readBounded(response.body)));
    if (published === undefined) throw new Error('the key set endpoint sent no key set');
    return published.map(importKey).filter((key) => key !== undefined);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

async function readBounded(body: Dispatcher.ResponseData['body']): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error('the key set is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** `undefined` for a point that isn't on the curve. */
function importKey({ jwk, issuer }: PublishedKey): VerificationKey | undefined {
  try {
    return { kid: jwk.kid, issuer, key: createPublicKey({ key: jwk, format: 'jwk' }) };
  } catch {
    return undefined;
  }
}
