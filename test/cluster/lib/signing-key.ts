import { generateKeyPairSync } from 'node:crypto';
import { S2S_VERIFY_PATH } from '@arrakis/contracts';
import { parsePrivateKey, pemFileName } from '@arrakis/signing-keys';
import { waitFor } from '@arrakis/testkit';
import { serviceToken } from '../../../services/gonogo/src/probes/service-tokens.ts';
import type { KubeEvent, Secret, SigningKey } from './objects.ts';
import type { Platform } from './platform.ts';
import { must } from './scenario.ts';

const SECRET = 'signing-key-freeside';
const TARGET = 'signingkey/freeside';

/** The signing key of freeside as an operator sees it, and as a thief would like to. */
export class SigningKeyView {
  readonly #platform: Platform;
  /** Every private key that was ever seen, by kid: PEM. */
  readonly #pems = new Map<string, string>();

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  get(): Promise<SigningKey> {
    return this.#platform.kube.get<SigningKey>(TARGET);
  }

  async activeKid(): Promise<string> {
    const kid = (await this.get()).status?.activeKid;
    must(kid !== undefined, 'the SigningKey has no active kid');
    return kid;
  }

  /** Reads the Secret, so that a key is known after it has left it. */
  async remember(): Promise<void> {
    const { data = {} } = await this.#platform.kube.get<Secret>('secret', SECRET);
    for (const [file, text] of Object.entries(data)) {
      const kid = /^(.+)\.pem$/.exec(file)?.[1];
      if (kid !== undefined) this.#pems.set(kid, Buffer.from(text, 'base64').toString('utf8'));
    }
  }

  get pems(): ReadonlyMap<string, string> {
    return this.#pems;
  }

  async phaseOf(kid: string): Promise<string | undefined> {
    const { status } = await this.get();
    return status?.keys?.find((key) => key.kid === kid)?.phase;
  }

  rotate(why: string): Promise<string> {
    const annotation = `keys.arrakis.community/rotate=${why}`;
    return this.#platform.kube.kubectl(['annotate', TARGET, '--overwrite', annotation]);
  }

  /** @returns the kid of the rotation that has begun, however far it is. */
  waitForNext(oldKid: string, timeoutMs: number): Promise<string> {
    return waitFor(
      async () => {
        const { status } = await this.get();
        return status?.keys?.find(({ kid, phase }) => kid > oldKid && phase !== 'Retired')?.kid;
      },
      { timeoutMs, intervalMs: 200, what: `a successor of ${oldKid}` },
    );
  }

  async waitForPhase(kid: string, phases: readonly string[], timeoutMs: number): Promise<string> {
    return waitFor(
      async () => {
        const phase = await this.phaseOf(kid);
        return phase !== undefined && phases.includes(phase) && phase;
      },
      { timeoutMs, intervalMs: 150, what: `${kid} is ${phases.join(' or ')}` },
    );
  }

  /**
   * What every finn says to a token signed with a key that was remembered.
   *
   * @returns a status a replica
   */
  async tryToken(kid: string): Promise<readonly number[]> {
    const pem = this.#pems.get(kid);
    const privateKey = pem === undefined ? undefined : parsePrivateKey(pem);
    must(privateKey !== undefined, `the private key ${kid} (${pemFileName(kid)}) was never seen`);
    return this.#present(serviceToken({ kid, privateKey }, new Date()));
  }

  /** Makes every finn look at the key set again, as a kid that it never heard of does. */
  async haveKeysFetched(): Promise<void> {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await this.#present(serviceToken({ kid: `unknown-${Date.now()}`, privateKey }, new Date()));
  }

  async #present(token: string): Promise<readonly number[]> {
    const pods = await this.#platform.pods('finn');
    const urls = pods.map(({ status }) => `http://${status.podIP ?? ''}:3001${S2S_VERIFY_PATH}`);
    // From a pod of the api: nobody else gets at finn's port.
    const script = `const answers = await Promise.all(${JSON.stringify(urls)}.map((url) =>
      fetch(url, { method: 'POST', headers: { authorization: 'Bearer ${token}' } })
        .then(({ status }) => status)));
      console.log(JSON.stringify(answers));`;
    const out = await this.#platform.kube.exec(
      [
        ...['-i', 'deploy/arrakis-freeside-api', '-c', 'freeside-api', '--'],
        ...['node', '--input-type=module', '-'],
      ],
      { input: script },
    );
    return JSON.parse(out) as number[];
  }

  async events(): Promise<readonly KubeEvent[]> {
    const events = await this.#platform.kube.list<KubeEvent>('events');
    return events.filter(({ involvedObject }) => involvedObject.kind === 'SigningKey');
  }
}

/** The forms in which a private key could leak: lines of its PEM, and its number `d`. */
export function leakForms(pem: string): readonly string[] {
  const lines = pem.split('\n').filter((line) => line.length > 20 && !line.startsWith('---'));
  const d = parsePrivateKey(pem)?.export({ format: 'jwk' }).d ?? '';
  const raw = Buffer.from(d, 'base64url');
  must(lines.length > 0 && raw.length === 32, 'the private key has an unexpected form');
  const asData = Buffer.from(pem).toString('base64').slice(44, 84);
  return [...lines, asData, d, raw.toString('base64').replace(/=+$/, ''), raw.toString('hex')];
}
