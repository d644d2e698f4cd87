import { FLAG_NAMES, type FlagValues } from '@arrakis/contracts';
import type { FlagsPlan } from './plan.domain.ts';

export const STATEMENT_ANNOTATION = 'flags.arrakis.community/status';

/**
 * What holds, as it stands in an annotation of the ConfigMap: for operators to read, and for the
 * controller to know after an outage or a restart what the last good values were.
 */
export interface FlagsStatement {
  /** The ConfigMap's version at which this came to hold: names the change. */
  readonly observedResourceVersion: string;
  readonly effective: FlagValues;
  /** By name, in words; holds no value. */
  readonly refused: Readonly<Record<string, string>>;
  /** How services learn of it: `files` until NATS could be told. */
  readonly carrier: 'nats' | 'files';
}

/** Undefined for one that a hand garbled: then it says nothing. */
export function readStatement(text: string | undefined): FlagsStatement | undefined {
  const said = text === undefined ? undefined : parseObject(text);
  if (said === undefined) return undefined;
  const { observedResourceVersion, effective, refused, carrier } = said;
  if (typeof observedResourceVersion !== 'string' || !isFlagValues(effective)) return undefined;
  return {
    observedResourceVersion,
    effective,
    refused: isObject(refused) ? (refused as FlagsStatement['refused']) : {},
    carrier: carrier === 'files' ? 'files' : 'nats',
  };
}

/**
 * What to state now. A change keeps the version at which it came, however often it is looked at
 * again; one that NATS could not be told is carried by files until it can.
 */
export function nextStatement(
  old: FlagsStatement | undefined,
  plan: FlagsPlan,
  now: { readonly resourceVersion: string; readonly isTold: boolean },
): FlagsStatement {
  const { effective, refused } = plan;
  const isSame = old !== undefined && saysTheSame(old, plan);
  const untold = isSame ? old.carrier : 'files';
  return {
    observedResourceVersion: isSame ? old.observedResourceVersion : now.resourceVersion,
    effective,
    refused,
    carrier: now.isTold ? 'nats' : untold,
  };
}

export function isSameStatement(one: FlagsStatement | undefined, other: FlagsStatement): boolean {
  return one !== undefined && saysTheSame(one, other) && one.carrier === other.carrier;
}

type Content = Pick<FlagsPlan, 'effective' | 'refused'>;

function saysTheSame(one: Content, other: Content): boolean {
  const hasSameFlags = FLAG_NAMES.every((name) => one.effective[name] === other.effective[name]);
  return hasSameFlags && canonical(one.refused) === canonical(other.refused);
}

function canonical(refused: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(refused).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isFlagValues(value: unknown): value is FlagValues {
  return isObject(value) && FLAG_NAMES.every((name) => typeof value[name] === 'boolean');
}
