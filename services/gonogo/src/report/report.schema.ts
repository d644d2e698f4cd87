import { PublicJwk } from '@arrakis/contracts';
import { Type, type Static } from 'typebox';
import { GATE_NAMES } from '../gate.domain.ts';

/** The report as it is written. Closed: a member that isn't known is a fault. */

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' });

export const GateResult = Type.Object(
  {
    name: Type.Enum(GATE_NAMES),
    outcome: Type.Enum(['pass', 'fail', 'inconclusive']),
    asked: Type.String(),
    seen: Type.String(),
    reason: Type.Optional(Type.String()),
    startedAt: Timestamp,
    durationMs: Type.Integer({ minimum: 0 }),
    evidence: Type.Record(Type.String(), Type.Unknown()),
    /** SHA-256 over the canonical JSON of `evidence`, in hex. */
    hash: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  },
  CLOSED,
);
export type GateResult = Static<typeof GateResult>;

export const Report = Type.Object(
  {
    version: Type.Literal(1),
    target: Type.String(),
    startedAt: Timestamp,
    endedAt: Timestamp,
    /** `partial` when not all gates were asked for: a go then says nothing about the rest. */
    scope: Type.Enum(['all', 'partial']),
    verdict: Type.Enum(['go', 'no-go', 'inconclusive']),
    gates: Type.Array(GateResult),
    /** `ephemeral`: the key was made for this run, so it proves integrity, not who ran it. */
    signedBy: Type.Enum(['key', 'ephemeral']),
    key: PublicJwk,
  },
  CLOSED,
);
export type Report = Static<typeof Report>;

/** The report and its signature: a compact JWS (ES256) whose payload is the canonical report. */
export const SignedReport = Type.Object(
  { report: Report, signature: Type.String({ maxLength: 4_000_000 }) },
  CLOSED,
);
export type SignedReport = Static<typeof SignedReport>;
