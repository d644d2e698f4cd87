import { Type, type Static } from 'typebox';
import { Value } from 'typebox/value';

/** What can be switched off while the platform runs. */
export const FLAG_NAMES = [
  'FEATURE_CRYPTO_PAYMENTS_ENABLED',
  'FEATURE_API_KEYS_ENABLED',
  'FEATURE_WEB_CHAT_ENABLED',
] as const;
export type FlagName = (typeof FLAG_NAMES)[number];
export type FlagValues = Readonly<Record<FlagName, boolean>>;

/** What holds while nobody ever said anything. */
export const FLAG_DEFAULTS: FlagValues = Object.freeze({
  FEATURE_CRYPTO_PAYMENTS_ENABLED: true,
  FEATURE_API_KEYS_ENABLED: true,
  FEATURE_WEB_CHAT_ENABLED: true,
});

/** The NATS key-value bucket that every service watches, and its one key. */
export const FLAGS_BUCKET = {
  name: 'platform-flags',
  key: 'flags',
  /** The stream and the subjects that NATS keeps such a bucket in. */
  stream: 'KV_platform-flags',
  subjects: '$KV.platform-flags.>',
  maxValueBytes: 16_384,
} as const;

/**
 * Beside the flags in the ConfigMap, and so in the directory that it is mounted as: the bucket's
 * document, as the controller last wrote it. It tells when the flags there were said.
 */
export const FLAGS_TOLD_FILE = 'told.json';

const MAX_REVISION_CHARACTERS = 200;

/**
 * The value of the key. Readers take what they know and leave the rest, so that services of two
 * releases can read one document: a flag that is missing stays what it was. Writers give all.
 */
export const FlagsDocument = Type.Object({
  version: Type.Literal(1),
  /** Who said it: the ConfigMap's `resourceVersion`, or the id of a command. */
  revision: Type.String({ minLength: 1, maxLength: MAX_REVISION_CHARACTERS }),
  /** RFC 3339 with a zone: when it was said. */
  changedAt: Type.String({
    pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})?(?:Z|[+-]\\d\\d:\\d\\d)$',
  }),
  flags: Type.Object({
    FEATURE_CRYPTO_PAYMENTS_ENABLED: Type.Optional(Type.Boolean()),
    FEATURE_API_KEYS_ENABLED: Type.Optional(Type.Boolean()),
    FEATURE_WEB_CHAT_ENABLED: Type.Optional(Type.Boolean()),
  }),
});
export type FlagsDocument = Static<typeof FlagsDocument>;

/** Whether it has the shape; `changedAt` may still name a day that doesn't exist. */
export function isFlagsDocument(value: unknown): value is FlagsDocument {
  return Value.Check(FlagsDocument, value);
}

/** What a writer gives. */
export interface WholeFlagsDocument extends FlagsDocument {
  flags: Record<FlagName, boolean>;
}

/**
 * A flag as text, in a ConfigMap, a file or an argument: exactly `true` or `false`. Undefined for
 * anything else, also `True`, `1` or a trailing newline: a switch is not guessed at.
 */
export function parseFlag(text: string): boolean | undefined {
  if (text === 'true') return true;
  return text === 'false' ? false : undefined;
}

export function isFlagName(text: string): text is FlagName {
  return (FLAG_NAMES as readonly string[]).includes(text);
}
