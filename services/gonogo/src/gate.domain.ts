/** The eleven gates, in the order in which they are shown. */
export const GATE_NAMES = [
  'health',
  'auth',
  'inference',
  'billing',
  'payments',
  'discord',
  'dashboard',
  'audit',
  'platform',
  'monitoring',
  'rollback',
] as const;
export type GateName = (typeof GATE_NAMES)[number];

/** What a gate found out. Only `pass` lets anything through. */
export type Outcome = 'pass' | 'fail' | 'inconclusive';

export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json;
}

export interface Finding {
  readonly outcome: Outcome;
  /** In one line, for people. */
  readonly seen: string;
  /** Why it isn't a pass; absent on a pass. */
  readonly reason?: string;
  /** What the outcome rests on; goes into the report with its hash. Never a secret. */
  readonly evidence: JsonObject;
}

export interface Gate {
  readonly name: GateName;
  /** The question that it answers, in one line. */
  readonly asks: string;
  readonly deadlineMs: number;
  /**
   * The outcome when the deadline passes. `fail` for a gate whose question is whether an answer
   * comes in time: silence is that answer. `inconclusive` for all others, which learned nothing.
   */
  readonly whenLate: 'fail' | 'inconclusive';
  /** Gates of one lane run one after another, so that they don't disturb what each measures. */
  readonly lane?: 'spending';
  /** @throws anything: the gate is then inconclusive, with the message as its reason. */
  run(signal: AbortSignal): Promise<Finding>;
}

export function pass(seen: string, evidence: JsonObject): Finding {
  return { outcome: 'pass', seen, evidence };
}

export function fail(reason: string, evidence: JsonObject): Finding {
  return { outcome: 'fail', seen: reason, reason, evidence };
}

export function inconclusive(reason: string, evidence: JsonObject = {}): Finding {
  return { outcome: 'inconclusive', seen: reason, reason, evidence };
}

/**
 * One finding of many checks: what is wrong decides, then what could not be found out; only when
 * there is neither is it a pass.
 */
export function conclude(
  checks: { readonly wrong: readonly string[]; readonly unclear: readonly string[] },
  seen: string,
  evidence: JsonObject,
): Finding {
  if (checks.wrong.length > 0) return fail(checks.wrong.join('; '), evidence);
  if (checks.unclear.length > 0) return inconclusive(checks.unclear.join('; '), evidence);
  return pass(seen, evidence);
}
