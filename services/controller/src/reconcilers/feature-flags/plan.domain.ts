import { FLAG_NAMES, parseFlag, type FlagName, type FlagValues } from '@arrakis/contracts';

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
