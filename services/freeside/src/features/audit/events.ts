import type { Finding, Head } from '@arrakis/audit';
import type { Logger } from '@arrakis/service-kit';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { CheckResult, SignedHead } from './trail-check.ts';

/** How often the log gets the newest signed head, as long as there are new ones. */
const NOTE_EVERY_MS = 15 * 60_000;

export interface AuditEvents {
  sealed(batch: {
    readonly sequence: bigint;
    readonly records: number;
    readonly violations: bigint;
  }): void;
  observed(state: {
    readonly oldestUnsealed: Date | undefined;
    readonly checkpointAt: Date | undefined;
  }): void;
  checked(result: Pick<CheckResult, 'began' | 'head' | 'finding' | 'signed'>): void;
}

/** Sequences, hashes of links and times only: what a record holds stays in the trail. */
export function createAuditEvents(
  registry: Registry,
  logger: Logger,
  nowMs: () => number = () => Date.now(),
): AuditEvents {
  const metrics = createMetrics(registry);
  const noteHead = createHeadNotes(logger, nowMs);
  let told: Finding | undefined;
  return {
    sealed({ sequence, records, violations }) {
      metrics.records.inc(records);
      if (violations > 0n) {
        logger.error(
          { sequence: sequence.toString(), violations: violations.toString() },
          'audit checkpoint over books that do not balance',
        );
      }
    },
    observed({ oldestUnsealed, checkpointAt }) {
      const ageMs = oldestUnsealed === undefined ? 0 : nowMs() - oldestUnsealed.getTime();
      metrics.age.set(Math.max(0, ageMs) / 1000);
      if (checkpointAt !== undefined) metrics.checkpoint.set(checkpointAt.getTime() / 1000);
    },
    checked({ began, head, finding, signed }) {
      if (began !== undefined) logger.info(fieldsOf(began), 'audit trail is checked from here on');
      noteHead(signed);
      metrics.checked.set(Number(head.sequence));
      metrics.broken.set(finding === undefined ? 0 : 1);
      if (signed !== undefined) metrics.signed.set(Number(signed.sequence));
      if (finding === undefined || finding === told) return;
      told = finding;
      logger.error(
        { code: finding.code, sequence: finding.sequence.toString(), detail: finding.detail },
        'audit trail is broken',
      );
    },
  };
}

/**
 * The log is where whoever owns the tables can't rewrite: heads in it show later that a trail was made
 * anew. The first at once, then the newest every so often, also when no new one follows it.
 */
function createHeadNotes(
  logger: Logger,
  nowMs: () => number,
): (signed: SignedHead | undefined) => void {
  let notedMs: number | undefined;
  let waiting: SignedHead | undefined;
  return (signed) => {
    waiting = signed ?? waiting;
    if (waiting === undefined) return;
    if (notedMs !== undefined && nowMs() - notedMs < NOTE_EVERY_MS) return;
    logger.info({ ...fieldsOf(waiting), kid: waiting.kid }, 'audit checkpoint was signed');
    notedMs = nowMs();
    waiting = undefined;
  };
}

function fieldsOf({ sequence, hash }: Head): { readonly sequence: string; readonly hash: string } {
  return { sequence: sequence.toString(), hash };
}

function createMetrics(registry: Registry) {
  const registers = [registry];
  return {
    records: new Counter({
      name: 'freeside_audit_records_sealed_total',
      help: 'Credit operations sealed into the audit trail by this process.',
      registers,
    }),
    age: new Gauge({
      name: 'freeside_audit_unsealed_age_seconds',
      help: 'Age of the oldest credit operation that has no audit record; 0 when all have one.',
      registers,
    }),
    checkpoint: new Gauge({
      name: 'freeside_audit_checkpoint_timestamp_seconds',
      help: 'When the last checkpoint of the audit trail was sealed.',
      registers,
    }),
    checked: new Gauge({
      name: 'freeside_audit_checked_sequence',
      help: 'Last link of the audit trail that this process has verified.',
      registers,
    }),
    signed: new Gauge({
      name: 'freeside_audit_signed_sequence',
      help: 'Last checkpoint of the audit trail that this process has signed; 0 without a key.',
      registers,
    }),
    broken: new Gauge({
      name: 'freeside_audit_broken',
      help: '1 when verification found a wrong link in the audit trail.',
      registers,
    }),
  };
}
