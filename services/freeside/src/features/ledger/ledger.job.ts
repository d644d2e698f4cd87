import type { PeriodicJob } from '../scheduling/periodic-job.ts';
import type { LedgerService } from './service.ts';

export function ledgerJobs(ledger: LedgerService): readonly PeriodicJob[] {
  return [
    { name: 'expire_lots', everyMs: 15_000, run: () => ledger.expireLots(500) },
    {
      name: 'check_conservation_quick',
      everyMs: 15_000,
      run: () => ledger.checkConservation('quick'),
    },
    {
      name: 'check_conservation_full',
      everyMs: 10 * 60_000,
      run: () => ledger.checkConservation('full'),
    },
  ];
}
