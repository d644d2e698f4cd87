import type { PeriodicJob } from '../scheduling/periodic-job.ts';
import type { PaymentReconciliation } from './reconcile.service.ts';

/** The first runs a round when one is due, which the pace decides: every 5 minutes, or as the vendor asks. */
export function paymentJobs(
  reconciliation: Pick<PaymentReconciliation, 'run' | 'measure'>,
): readonly PeriodicJob[] {
  return [
    {
      name: 'reconcile_payments',
      everyMs: 15_000,
      run: (closing) => reconciliation.run(closing),
    },
    { name: 'measure_payments', everyMs: 15_000, run: () => reconciliation.measure() },
  ];
}
