import type { Queryable } from '@arrakis/postgres';
import {
  ACTIVE_FILE,
  deleteKey,
  exportPrivateKey,
  formatActiveFile,
  generateKeyPair,
  pemFileName,
  publicJwk,
  publishKey,
  setExpiry,
  type KeyPair,
} from '@arrakis/signing-keys';
import type { ApiClient } from '../../kubernetes/api.client.ts';
import { SECRETS, type SecretObject } from '../../kubernetes/objects.ts';
import type { Material } from './material.ts';
import {
  API_VERSION,
  KIND,
  SECRET_LABEL,
  secretNameOf,
  type SigningKeyObject,
} from './resource.ts';
import type { Action } from './world.domain.ts';

export interface ApplyDeps {
  /** Refuses to write unless this process leads. */
  readonly api: ApiClient;
  readonly db: Queryable;
  /** Throws unless this process leads: asked before each statement that changes the table. */
  readonly guard: () => void;
  readonly now: () => Date;
}

/**
 * A public row whose key never came into the Secret, because we died between the two, is forgotten
 * after this. Nobody could sign with it anyhow.
 */
const UNCONFIRMED_LIFE_MS = 3_600_000;

/**
 * Carries one action out. Where it takes several writes, each alone leaves a state that the planner
 * reads rightly; docs/architecture/controller.md has the list.
 */
export async function apply(
  deps: ApplyDeps,
  object: SigningKeyObject,
  material: Material,
  action: Action,
): Promise<void> {
  const secret = new SecretWriter(deps, object, material);
  switch (action.do) {
    case 'bootstrap':
      return bootstrap(deps, object, secret);
    case 'create':
      return secret.write(pemFile(generateKeyPair(deps.now())));
    case 'publish':
      return publish(deps, object, keyOf(material, action.kid), action.expiresAt);
    case 'republish':
      await change(deps, () => deleteKey(deps.db, action.kid));
      return publish(deps, object, keyOf(material, action.kid), action.expiresAt);
    case 'extend':
      return change(deps, () => setExpiry(deps.db, action.kid, action.expiresAt));
    case 'activate':
      keyOf(material, action.kid);
      return secret.write(activeFile(action.kid, action.since));
    case 'retire':
      return retire(deps, material, secret, action.kid);
    case 'forget-row':
      return change(deps, () => deleteKey(deps.db, action.kid));
  }
}

async function bootstrap(
  deps: ApplyDeps,
  object: SigningKeyObject,
  secret: SecretWriter,
): Promise<void> {
  const pair = generateKeyPair(deps.now());
  await publish(deps, object, pair, new Date(deps.now().getTime() + UNCONFIRMED_LIFE_MS));
  await secret.write({ ...pemFile(pair), ...activeFile(pair.kid, deps.now()) });
}

async function retire(
  deps: ApplyDeps,
  material: Material,
  secret: SecretWriter,
  kid: string,
): Promise<void> {
  if (material.active?.kid === kid) throw new Error('the active key is not retired');
  await change(deps, () => setExpiry(deps.db, kid, deps.now()));
  await secret.remove(pemFileName(kid));
  await change(deps, () => deleteKey(deps.db, kid));
}

async function change(deps: ApplyDeps, statement: () => Promise<void>): Promise<void> {
  deps.guard();
  await statement();
}

async function publish(
  deps: ApplyDeps,
  object: SigningKeyObject,
  pair: Pick<KeyPair, 'kid' | 'privateKey'>,
  expiresAt: Date,
): Promise<void> {
  const { kid, privateKey } = pair;
  const { x, y } = publicJwk(privateKey, kid);
  deps.guard();
  const row = { kid, issuer: object.spec.issuer, x, y, expiresAt };
  if (!(await publishKey(deps.db, row))) {
    throw new Error(`another public half is published as ${kid}`);
  }
}

function keyOf(material: Material, kid: string) {
  const privateKey = material.keys.get(kid);
  if (privateKey === undefined) throw new Error(`the private half of ${kid} is not at hand`);
  return { kid, privateKey };
}

function pemFile({ kid, privateKey }: KeyPair): Record<string, string> {
  return { [pemFileName(kid)]: toBase64(exportPrivateKey(privateKey)) };
}

function activeFile(activeKid: string, updatedAt: Date): Record<string, string> {
  return { [ACTIVE_FILE]: toBase64(formatActiveFile({ activeKid, updatedAt })) };
}

const toBase64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64');

/** Writes the Secret only as it was read: a hand that came between wins, and is looked at. */
class SecretWriter {
  readonly #deps: ApplyDeps;
  readonly #object: SigningKeyObject;
  readonly #material: Material;

  constructor(deps: ApplyDeps, object: SigningKeyObject, material: Material) {
    this.#deps = deps;
    this.#object = object;
    this.#material = material;
  }

  async write(files: Readonly<Record<string, string>>): Promise<void> {
    await this.#apply({ ...this.#material.files, ...files });
  }

  async remove(fileName: string): Promise<void> {
    const { [fileName]: removed, ...files } = this.#material.files;
    if (removed === undefined) return;
    const written = await this.#apply(files);
    if (written.data?.[fileName] === undefined) return;
    // A hand that once edited it owns it too, and apply takes away only what is ours alone.
    const { resourceVersion } = written.metadata;
    await this.#deps.api.mergePatch(SECRETS, this.#target(), {
      metadata: { resourceVersion },
      data: { [fileName]: null },
    });
  }

  #target() {
    const { namespace = '', name } = this.#object.metadata;
    return { namespace, name: secretNameOf(name) };
  }

  #apply(data: Readonly<Record<string, string>>): Promise<SecretObject> {
    const { name, uid = '' } = this.#object.metadata;
    const { resourceVersion, uid: secretUid } = this.#material;
    return this.#deps.api.apply<SecretObject & { type: string }>(SECRETS, {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'Opaque',
      metadata: {
        ...this.#target(),
        labels: { [SECRET_LABEL]: name, 'app.kubernetes.io/managed-by': 'arrakis-controller' },
        ownerReferences: [{ apiVersion: API_VERSION, kind: KIND, name, uid, controller: true }],
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(secretUid === undefined ? {} : { uid: secretUid }),
      },
      data,
    });
  }
}
