import type { PeriodicJob } from '../scheduling/periodic-job.ts';
import type { AuditService } from './service.ts';

/** Neither counts as a change worth a line in the log: they change something every few seconds. */
export function auditJobs(audit: AuditService): readonly PeriodicJob[] {
  return [
    { name: 'audit_seal', everyMs: 2_000, run: () => quietly(audit.seal()) },
    { name: 'audit_check', everyMs: 5_000, run: () => quietly(audit.check()) },
  ];
}

async function quietly(work: Promise<number>): Promise<number> {
  await work;
  return 0;
}
