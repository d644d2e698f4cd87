import { createHash } from 'node:crypto';
import type { Json, JsonObject, Outcome } from '../gate.domain.ts';
import { GATE_NAMES } from '../gate.domain.ts';
import type { Ran } from '../runner.ts';
import { verdictOf } from '../verdict.domain.ts';
import { canonicalJson } from './canonical-json.domain.ts';
import type { GateResult, Report } from './report.schema.ts';
import type { ReportKey } from './report-key.ts';

export interface BuildOptions {
  readonly target: string;
  readonly startedAt: Date;
  readonly endedAt: Date;
  readonly key: ReportKey;
  /** Texts that must not appear, wherever a gate may have picked them up. */
  readonly secrets: readonly string[];
}

export function buildReport(ran: readonly Ran[], options: BuildOptions): Report {
  const gates = ran.map((one) => toResult(one, options.secrets));
  return {
    version: 1,
    target: options.target,
    startedAt: options.startedAt.toISOString(),
    endedAt: options.endedAt.toISOString(),
    scope: gates.length === GATE_NAMES.length ? 'all' : 'partial',
    verdict: verdictOf(gates.map(({ outcome }): Outcome => outcome)),
    gates,
    signedBy: options.key.signedBy,
    key: options.key.publicJwk,
  };
}

/** SHA-256 over the canonical JSON, in hex. */
export function hashOf(evidence: JsonObject): string {
  return createHash('sha256').update(canonicalJson(evidence)).digest('hex');
}

function toResult({ gate, finding, startedAt, durationMs }: Ran, secrets: readonly string[]) {
  const clean = (text: string): string => without(text, secrets) as string;
  const evidence = without(finding.evidence, secrets) as JsonObject;
  return {
    name: gate.name,
    outcome: finding.outcome,
    asked: gate.asks,
    seen: clean(finding.seen),
    ...(finding.reason === undefined ? {} : { reason: clean(finding.reason) }),
    startedAt: startedAt.toISOString(),
    durationMs,
    evidence,
    hash: hashOf(evidence),
  } satisfies GateResult;
}

/** The last line of defence: gates put no secret into their evidence. */
function without(value: Json, secrets: readonly string[]): Json {
  if (typeof value === 'string') {
    return secrets.reduce((text, secret) => text.replaceAll(secret, '[secret]'), value);
  }
  if (Array.isArray(value)) return value.map((item: Json) => without(item, secrets));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, without(member, secrets)]),
  );
}
