import { FLAG_NAMES, parseFlag, type FlagName, type FlagValues } from '@arrakis/contracts';
import type { NewStatement, Statement } from '@arrakis/flags/document.domain.ts';

/** What the ConfigMap says, and what was last told to everybody. */
export interface FlagsWorld {
  readonly data: Readonly<Record<string, string>>;
  /** The last good values: as last stated, else of the bucket, else the defaults. */
  readonly lastGood: FlagValues;
  /** What the bucket holds; undefined when it has no document that can be relied on. */
  readonly told: FlagValues | undefined;
}

export interface FlagsPlan {
  readonly effective: FlagValues;
  /** By name, in words; holds no value. */
  readonly refused: Readonly<Record<string, string>>;
  /** The bucket has to be written. */
  readonly tell: boolean;
}

/**
 * A bad or missing value keeps the last good one: half a document must not switch anything. Whoever
 * writes the bucket past the ConfigMap is corrected: the ConfigMap is what operators see.
 */
export function planFlags({ data, lastGood, told }: FlagsWorld): FlagsPlan {
  const refused: Record<string, string> = {};
  const effective: Record<FlagName, boolean> = { ...lastGood };
  for (const name of FLAG_NAMES) {
    const text = data[name];
    const value = text === undefined ? undefined : parseFlag(text);
    if (value !== undefined) effective[name] = value;
    else refused[name] = text === undefined ? 'is missing' : 'is neither true nor false';
  }
  for (const name of Object.keys(data)) {
    if (name.startsWith('FEATURE_') && !(name in effective)) refused[name] = 'is no flag';
  }
  const tell = told === undefined || FLAG_NAMES.some((name) => effective[name] !== told[name]);
  return { effective, refused, tell };
}

export interface SaidBefore {
  /** What the bucket says; undefined when it says nothing, or could not be asked. */
  readonly stored: Statement | undefined;
  /** What the ConfigMap's own document says. */
  readonly carried: Statement | undefined;
}

/**
 * The document that holds now, the same in the bucket and in the ConfigMap: a process that loses NATS
 * tells by it whether its files are newer than what it heard last. A new one is later than all before
 * it, whatever this clock says.
 *
 * @param now the ConfigMap's version, and the time in milliseconds since the epoch
 */
export function nextDocument(
  { effective, tell }: FlagsPlan,
  { stored, carried }: SaidBefore,
  now: { readonly resourceVersion: string; readonly atMs: number },
): NewStatement {
  const last = stored ?? carried;
  const stands = stored === undefined ? saysAll(carried, effective) : !tell;
  if (last !== undefined && stands) {
    const { revision = now.resourceVersion, changedAtMs } = last;
    return { flags: effective, revision, changedAtMs };
  }
  const before = Math.max(stored?.changedAtMs ?? 0, carried?.changedAtMs ?? 0);
  return {
    ...{ flags: effective, revision: now.resourceVersion },
    changedAtMs: Math.max(now.atMs, before + 1),
  };
}

function saysAll(said: Statement | undefined, flags: FlagValues): boolean {
  return said !== undefined && FLAG_NAMES.every((name) => said.values[name] === flags[name]);
}
