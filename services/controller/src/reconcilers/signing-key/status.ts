import type { Plan } from './draft.domain.ts';
import type {
  Condition,
  KeyStatusObject,
  SigningKeyObject,
  SigningKeyStatusObject,
} from './resource.ts';
import type { KeyRecord, World } from './world.domain.ts';

const TIMES = [
  'createdAt',
  'publishedAt',
  'servedAt',
  'canaryPassedAt',
  'activatedAt',
  'retireAfter',
  'retiredAt',
] as const;

/** What the status records, as the planner reads it. */
export function readRecorded(status: SigningKeyStatusObject = {}): World['recorded'] {
  return {
    activeKid: status.activeKid,
    lastRotateRequest: status.lastRotateRequest,
    keys: (status.keys ?? []).map(readKey),
  };
}

function readKey(key: KeyStatusObject): KeyRecord {
  const times = TIMES.map((name) => [name, readTime(key[name])] as const);
  return { kid: key.kid, phase: key.phase, ...Object.fromEntries(times) };
}

function readTime(text: string | undefined): Date | undefined {
  const time = text === undefined ? undefined : new Date(text);
  return time === undefined || isNaN(time.getTime()) ? undefined : time;
}

/** The status to be written; what did not change keeps the time of its last change. */
export function writeStatus(
  object: SigningKeyObject,
  record: Plan['record'],
  now: Date,
): SigningKeyStatusObject {
  const { generation = 0 } = object.metadata;
  return {
    observedGeneration: generation,
    phase: record.phase,
    ...(record.activeKid === undefined ? {} : { activeKid: record.activeKid }),
    ...(record.nextRotationAt === undefined
      ? {}
      : { nextRotationTime: record.nextRotationAt.toISOString() }),
    ...(record.lastRotateRequest === undefined
      ? {}
      : { lastRotateRequest: record.lastRotateRequest.slice(0, 256) }),
    keys: record.keys.map(writeKey),
    conditions: record.conditions.map((condition): Condition => {
      const { type, isTrue, reason, message } = condition;
      const status = isTrue ? 'True' : 'False';
      const old = object.status?.conditions?.find((known) => known.type === type);
      const isSame = old?.status === status;
      return {
        ...{ type, status, reason, message },
        lastTransitionTime: isSame ? old.lastTransitionTime : now.toISOString(),
        observedGeneration: generation,
      };
    }),
  };
}

function writeKey(key: KeyRecord): KeyStatusObject {
  const times = TIMES.flatMap((name) => {
    const time = key[name];
    return time === undefined ? [] : [[name, time.toISOString()] as const];
  });
  return { kid: key.kid, phase: key.phase, ...Object.fromEntries(times) };
}

/** Equal whatever the order of members. */
export function isSameStatus(
  a: SigningKeyStatusObject | undefined,
  b: SigningKeyStatusObject,
): boolean {
  return canonical(a ?? {}) === canonical(b);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([x], [y]) => (x < y ? -1 : 1)))
      : member,
  );
}
