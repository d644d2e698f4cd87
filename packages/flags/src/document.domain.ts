import {
  FLAGS_BUCKET,
  FLAG_NAMES,
  isFlagName,
  isFlagsDocument,
  parseFlag,
  type FlagName,
  type FlagValues,
  type WholeFlagsDocument,
} from '@arrakis/contracts';

export type PartialFlagValues = Readonly<Partial<Record<FlagName, boolean>>>;

/** Who said what, and when. */
export interface Statement {
  readonly values: PartialFlagValues;
  /** Milliseconds since the epoch, by the clock of who said it. */
  readonly changedAtMs: number;
  /** The ConfigMap's `resourceVersion` or the id of a command; undefined for files without a document. */
  readonly revision?: string;
}

/** A value of the bucket; undefined when it isn't a document that can be relied on. */
export function readDocument(text: string): Statement | undefined {
  if (text.length > FLAGS_BUCKET.maxValueBytes) return undefined;
  const document = parseJson(text);
  if (!isFlagsDocument(document)) return undefined;
  const changedAtMs = Date.parse(document.changedAt);
  if (Number.isNaN(changedAtMs)) return undefined;
  const values: Partial<Record<FlagName, boolean>> = {};
  for (const name of FLAG_NAMES) {
    const value = document.flags[name];
    if (value !== undefined) values[name] = value;
  }
  return { values, changedAtMs, revision: document.revision };
}

export interface NewStatement {
  readonly flags: FlagValues;
  readonly revision: string;
  /** Milliseconds since the epoch. */
  readonly changedAtMs: number;
}

/** The value to write into the bucket. */
export function writeDocument({ flags, revision, changedAtMs }: NewStatement): string {
  const document: WholeFlagsDocument = {
    version: 1,
    revision,
    changedAt: new Date(changedAtMs).toISOString(),
    flags: { ...flags },
  };
  return JSON.stringify(document);
}

/** What a map of texts (a ConfigMap's data, a directory) says: the good values and the refused ones. */
export interface TextReading {
  readonly values: PartialFlagValues;
  /** By name, in words: `neither true nor false`. Holds no value. */
  readonly refused: Readonly<Record<string, string>>;
}

/**
 * Reads flags given as texts by name. A missing flag isn't refused here, it just says nothing;
 * other names are ignored, unless they look like a flag of ours mistyped.
 */
export function readTexts(texts: Readonly<Record<string, string>>): TextReading {
  const values: Partial<Record<FlagName, boolean>> = {};
  const refused: Record<string, string> = {};
  for (const [name, text] of Object.entries(texts)) {
    if (!isFlagName(name)) {
      if (name.startsWith('FEATURE_')) refused[name] = 'there is no such flag';
      continue;
    }
    const value = parseFlag(text);
    if (value === undefined) refused[name] = 'neither true nor false';
    else values[name] = value;
  }
  return { values, refused };
}

/**
 * What a directory of flags says. A file's own time tells little: a kubelet writes files when it comes
 * round to it, and leaves those alone that say by chance what the next change says again. So the time
 * is that of the document beside them, as long as it says the same; else somebody changed the flags
 * and the controller has not spoken yet, or there is none.
 *
 * @param writtenAtMs when the newest of the files was written, in milliseconds since the epoch
 */
export function readDirectory(
  { values }: TextReading,
  told: Statement | undefined,
  writtenAtMs: number,
): Statement | undefined {
  const names = FLAG_NAMES.filter((name) => values[name] !== undefined);
  if (told !== undefined && names.every((name) => values[name] === told.values[name])) return told;
  return names.length === 0 ? undefined : { values, changedAtMs: writtenAtMs };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
