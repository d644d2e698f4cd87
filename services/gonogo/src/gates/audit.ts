import {
  ChainVerifier,
  readCheckpointKey,
  type ChainSummary,
  type CheckpointKey,
  type Head,
} from '@arrakis/audit';
import { conclude, inconclusive, type Gate, type JsonObject } from '../gate.domain.ts';
import type { TrailBatch } from '../probes/audit-trail.store.ts';

export interface AuditTrail {
  /** The batch after that sequence; `undefined` after the last. */
  readonly batchAfter: (sequence: bigint) => Promise<TrailBatch | undefined>;
  readonly unsealedSeconds: () => Promise<number>;
}

export interface AuditOptions {
  /** Undefined without a way to read the trail. */
  readonly trail: AuditTrail | undefined;
  /** PEM of each public key that may have signed, one after the other. */
  readonly keys: string | undefined;
  /**
   * The head of what was verified before, or of what is known to be broken: nothing up to it is looked
   * at. Undefined: the whole trail.
   */
  readonly after: Head | undefined;
  readonly deadlineMs: number;
}

/** Both take a worker some seconds; this is what the alert allows too. */
const MAX_BEHIND_SECONDS = 120;

interface Read {
  readonly verifier: ChainVerifier;
  /** Since when the end of the trail is not signed, in seconds; 0 when it is. */
  readonly unsignedSeconds: number;
  readonly broken: string | undefined;
}

/** The trail, recomputed by the verifier that strangers use: not only what was sealed lately. */
export function auditGate({ trail, keys, after, deadlineMs }: AuditOptions): Gate {
  return {
    name: 'audit',
    asks: 'is every credit operation sealed, and does the whole audit trail verify with its signatures',
    deadlineMs,
    whenLate: 'inconclusive',
    async run(signal) {
      if (trail === undefined) return inconclusive('no DATABASE_URL to read the audit trail by');
      const known = keysOf(keys);
      if (known === undefined) return inconclusive('GONOGO_AUDIT_KEYS holds no P-256 public key');
      const behind = await trail.unsealedSeconds();
      const read = await readTrail(
        trail,
        new ChainVerifier({ keys: known, ...(after && { after }) }),
        signal,
      );
      return judge(read, behind, { hasKeys: known.length > 0, after });
    },
  };
}

/** Undefined when the text holds something else than keys. */
function keysOf(text: string | undefined): readonly CheckpointKey[] | undefined {
  if (text === undefined) return [];
  const blocks = text.split(/(?<=-----END [A-Z ]+-----)/).filter((block) => block.trim() !== '');
  const keys = blocks.map(readCheckpointKey);
  return keys.every((key) => key !== undefined) && keys.length > 0 ? keys : undefined;
}

async function readTrail(
  trail: AuditTrail,
  verifier: ChainVerifier,
  signal: AbortSignal,
): Promise<Read> {
  let unsignedSeconds = 0;
  for (let after = verifier.summary().head.sequence; !signal.aborted;) {
    const batch = await trail.batchAfter(after);
    if (batch === undefined) break;
    for (const line of batch.lines) {
      const finding = verifier.accept(line);
      if (finding === undefined) continue;
      const { sequence, code, detail } = finding;
      const broken = `the trail is broken at sequence ${String(sequence)} (${code}): ${detail}`;
      return { verifier, unsignedSeconds, broken };
    }
    after = batch.sequence;
    // A signature vouches for everything before it, so the age is that of the first one after it.
    if (batch.isSigned) unsignedSeconds = 0;
    else unsignedSeconds = Math.max(unsignedSeconds, batch.ageSeconds);
  }
  return { verifier, unsignedSeconds, broken: undefined };
}

function judge(
  { verifier, unsignedSeconds, broken }: Read,
  behind: number,
  { hasKeys, after }: { readonly hasKeys: boolean; readonly after: Head | undefined },
) {
  const summary = verifier.summary();
  const { head, records, checkpoints, signed, unbalanced, lastSigned, uncompared } = summary;
  const wrong = [
    ...(broken === undefined ? [] : [broken]),
    ...tooOld('the oldest operation without a record is', behind),
  ];
  const since = after === undefined ? 'yet' : `after sequence ${String(after.sequence)}`;
  const unclear = records === 0 ? [`nothing has been sealed ${since}`] : [];
  unclear.push(...notCompared(summary, behind));
  if (hasKeys) wrong.push(...tooOld('the end of the trail is unsigned and', unsignedSeconds));
  else if (signed === 0) unclear.push('the trail is unsigned: nothing shows who made it');
  else unclear.push('no public key was given for its signatures (GONOGO_AUDIT_KEYS)');
  const evidence: JsonObject = {
    after: String(after?.sequence ?? 0n),
    head: `${String(head.sequence)}:${head.hash}`,
    records,
    checkpoints,
    signed,
    lastSigned: lastSigned === undefined ? null : String(lastSigned.sequence),
    // Of the past: whether the books balance now is the gate billing's question.
    unbalancedCheckpoints: unbalanced,
    uncompared: uncompared ? { ...uncompared, since: String(uncompared.since) } : null,
    unsealedSeconds: Math.round(behind),
    unsignedSeconds: Math.round(unsignedSeconds),
  };
  const seen = `${String(records)} records and ${String(checkpoints)} checkpoints verify, ${String(signed)} signed`;
  return conclude({ wrong, unclear }, seen, evidence);
}

/** While sealing catches up the balances are owed; when nothing waits, nobody is about to state them. */
function notCompared({ uncompared }: ChainSummary, behind: number): string[] {
  if (uncompared === undefined || behind > 0) return [];
  const { communities, since } = uncompared;
  return [
    `the balances of ${String(communities)} communities were not compared since sequence ${String(since)}`,
  ];
}

function tooOld(what: string, seconds: number): string[] {
  return seconds <= MAX_BEHIND_SECONDS ? [] : [`${what} ${String(Math.round(seconds))} s old`];
}
