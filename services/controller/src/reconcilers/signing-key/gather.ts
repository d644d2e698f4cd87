import type { Queryable } from '@arrakis/postgres';
import {
  checkServed,
  listKeysOf,
  publicJwk,
  runCanary,
  type PublishedKey,
} from '@arrakis/signing-keys';
import type { ApiClient } from '../../kubernetes/api.client.ts';
import { isNotFound } from '../../kubernetes/api-error.ts';
import { readyAddresses } from '../../kubernetes/endpoints.ts';
import { SECRETS, type SecretObject } from '../../kubernetes/objects.ts';
import { parseDurationMs } from './duration.domain.ts';
import { openSecret, type Material } from './material.ts';
import { ROTATE_ANNOTATION, secretNameOf, type SigningKeyObject } from './resource.ts';
import { askSigner } from './signer.client.ts';
import { readRecorded } from './status.ts';
import type { Confirmation, Question, Seen, Signers, World } from './world.domain.ts';

export interface GatherDeps {
  readonly api: ApiClient;
  readonly db: Queryable;
  readonly now: () => Date;
  readonly minPropagationWaitMs: number;
}

export interface Gathered {
  readonly world: World;
  readonly material: Material;
}

/** Reads everything that a decision about one SigningKey rests on, but what has to be asked for. */
export async function gather(deps: GatherDeps, object: SigningKeyObject): Promise<Gathered> {
  const [material, rows] = await Promise.all([
    readMaterial(deps.api, object),
    listKeysOf(deps.db, object.spec.issuer),
  ]);
  const { spec } = object;
  const world: World = {
    now: deps.now(),
    spec: {
      rotationIntervalMs: durationMs(spec.rotationInterval, '2160h'),
      overlapMs: durationMs(spec.overlap, '24h'),
      propagationWaitMs: durationMs(spec.propagationWait, '390s'),
    },
    minPropagationWaitMs: deps.minPropagationWaitMs,
    rotateRequest: object.metadata.annotations?.[ROTATE_ANNOTATION]?.slice(0, 256),
    recorded: readRecorded(object.status),
    secret: { pems: material.pems, active: material.active },
    rows: rows.map((row) => toRow(row, material)),
    seen: {},
  };
  return { world, material };
}

async function readMaterial(api: ApiClient, object: SigningKeyObject): Promise<Material> {
  const { namespace = '', name } = object.metadata;
  try {
    return openSecret(
      await api.get<SecretObject>(SECRETS, { namespace, name: secretNameOf(name) }),
    );
  } catch (error) {
    if (isNotFound(error)) return openSecret(undefined);
    throw error;
  }
}

/** The schema admits nothing but durations; an older object may have none. */
function durationMs(text: string | undefined, fallback: string): number {
  const ms = parseDurationMs(text ?? fallback);
  if (ms === undefined) throw new Error(`${text ?? fallback} is no duration`);
  return ms;
}

function toRow(row: PublishedKey, material: Material): World['rows'][number] {
  const key = material.keys.get(row.kid);
  const jwk = key === undefined ? undefined : publicJwk(key, row.kid);
  return {
    kid: row.kid,
    createdAt: row.createdAt,
    expiresAt: row.expiresAt,
    fits: jwk === undefined || (jwk.x === row.x && jwk.y === row.y),
  };
}

/** Asks every ready replica; the answer of each counts. */
export async function answer(
  deps: GatherDeps,
  object: SigningKeyObject,
  material: Material,
  question: Question,
): Promise<Seen> {
  switch (question.what) {
    case 'signers':
      return { signers: await seeSigners(deps, object) };
    case 'served':
      return { served: await seeServed(deps, object, material, question.kid) };
    case 'canary':
      return { canary: await seeCanary(deps, object, material, question.kid) };
  }
}

export async function seeSigners(
  deps: Pick<GatherDeps, 'api'>,
  object: SigningKeyObject,
): Promise<Signers> {
  const { issuer, targets } = object.spec;
  const { service, port } = targets.signers;
  const addresses = await readyAddresses(deps.api, object.metadata.namespace ?? '', service);
  const answers = await Promise.all(
    addresses.map(async (address) => ({
      address,
      answer: await askSigner(`http://${address}:${port}`, issuer),
    })),
  );
  const unclear = answers.flatMap(({ address, answer: said }) =>
    said.kid === undefined ? [`${service} at ${address} ${said.reason}`] : [],
  );
  return {
    replicas: addresses.length,
    kids: answers.flatMap(({ answer: said }) => (said.kid === undefined ? [] : [said.kid])),
    unclear: unclear[0],
  };
}

async function seeServed(
  deps: GatherDeps,
  object: SigningKeyObject,
  material: Material,
  kid: string,
): Promise<Confirmation> {
  const key = material.keys.get(kid);
  if (key === undefined) return no('the private half is not at hand', false);
  const { service, port, path = '/.well-known/jwks.json' } = object.spec.targets.jwks;
  return everyReplica(deps, object, service, async (address) => {
    const check = await checkServed(`http://${address}:${port}${path}`, publicJwk(key, kid));
    if (check.ok) return check;
    return no(
      check.reason,
      check.reason.startsWith('does not serve') || check.reason.startsWith('serves'),
    );
  });
}

async function seeCanary(
  deps: GatherDeps,
  object: SigningKeyObject,
  material: Material,
  kid: string,
): Promise<Confirmation> {
  const key = material.keys.get(kid);
  if (key === undefined) return no('the private half is not at hand', false);
  const { issuer } = object.spec;
  const { service, port, path } = object.spec.targets.verifiers;
  return everyReplica(deps, object, service, async (address) => {
    const fault = await runCanary(`http://${address}:${port}`, {
      key: { kid, privateKey: key },
      issuer,
      now: deps.now,
      ...(path === undefined ? {} : { path }),
    });
    return fault === undefined ? { ok: true } : no(fault, true);
  });
}

/** None at all confirms nothing. */
async function everyReplica(
  deps: GatherDeps,
  object: SigningKeyObject,
  service: string,
  check: (address: string) => Promise<Confirmation>,
): Promise<Confirmation> {
  const addresses = await readyAddresses(deps.api, object.metadata.namespace ?? '', service);
  if (addresses.length === 0) return no(`${service} has no ready replica`, false);
  const checks = await Promise.all(
    addresses.map(async (address) => ({ address, outcome: await check(address) })),
  );
  const failed = checks.flatMap(({ address, outcome }) =>
    outcome.ok ? [] : [no(`${service} at ${address} ${outcome.reason}`, outcome.isDenial)],
  );
  return failed.find(({ isDenial }) => isDenial) ?? failed[0] ?? { ok: true };
}

function no(reason: string, isDenial: boolean) {
  return { ok: false, reason, isDenial } as const;
}
