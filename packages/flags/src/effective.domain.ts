import { FLAG_DEFAULTS, FLAG_NAMES, type FlagName, type FlagValues } from '@arrakis/contracts';
import type { Statement } from './document.domain.ts';

export type FlagsSource = 'default' | 'file' | 'kv';

/** What holds, and on whose word. */
export interface Effective {
  readonly values: FlagValues;
  readonly source: FlagsSource;
  /** Undefined while only defaults hold. */
  readonly statement?: Statement;
  /** While files hold: the bucket's document that they were newer than. */
  readonly overruled?: Statement;
}

export interface Sources {
  /** The bucket's latest good document, also when the bucket can't be reached any more. */
  readonly kv: Statement | undefined;
  /** Whether the bucket answers now and holds a value. */
  readonly isKvLive: boolean;
  /** What the directory says; undefined without one. */
  readonly file: Statement | undefined;
}

export const NOTHING_TOLD: Effective = { values: FLAG_DEFAULTS, source: 'default' };

/**
 * Whose word holds:
 * 1. the bucket, while it answers;
 * 2. while it doesn't, the files if they changed after the bucket's latest document did, else
 *    that document;
 * 3. without either, what held before (at first the defaults).
 *
 * When the bucket comes back with the very document that the files overruled, and they differ, the
 * files go on: it is yesterday's news, and a feature switched off in an outage must not come on for
 * a moment. The next document ends that.
 *
 * A flag that the source says nothing (usable) about stays what it was.
 */
export function decide(previous: Effective, sources: Sources): Effective {
  const { kv, file, isKvLive } = sources;
  if (kv === undefined) {
    return file === undefined ? previous : say(previous, 'file', file);
  }
  const fileIsNewer = file !== undefined && file.changedAtMs > kv.changedAtMs;
  const isOldNews = isSame(previous.overruled, kv) && wouldChange(previous, kv);
  const mayOverrule = !isKvLive || isOldNews;
  return fileIsNewer && mayOverrule
    ? { ...say(previous, 'file', file), overruled: kv }
    : say(previous, 'kv', kv);
}

/** Which flags differ. */
export function changedFlags(before: FlagValues, after: FlagValues): FlagName[] {
  return FLAG_NAMES.filter((name) => before[name] !== after[name]);
}

/**
 * Seconds from a change to its effect, never negative: clocks differ. Undefined when that can't be
 * told: what was said before this process began says nothing about how fast it travels.
 */
export function effectSeconds(
  statement: Statement,
  nowMs: number,
  startedAtMs: number,
): number | undefined {
  if (statement.changedAtMs < startedAtMs) return undefined;
  return Math.max(0, nowMs - statement.changedAtMs) / 1000;
}

function say(previous: Effective, source: FlagsSource, statement: Statement): Effective {
  return { values: { ...previous.values, ...statement.values }, source, statement };
}

function wouldChange(previous: Effective, statement: Statement): boolean {
  return changedFlags(previous.values, { ...previous.values, ...statement.values }).length > 0;
}

function isSame(one: Statement | undefined, other: Statement): boolean {
  return one?.revision === other.revision && one?.changedAtMs === other.changedAtMs;
}
