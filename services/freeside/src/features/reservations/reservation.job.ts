import type { PeriodicJob } from '../scheduling/periodic-job.ts';
import type { ReservationService } from './service.ts';

/** How many candidates one run takes; the next run goes on with the rest. */
const AT_MOST = 500;

/** Gives back holds that nobody reported on (the guard of five minutes is in the statement). */
export function orphanJob(reservations: ReservationService): PeriodicJob {
  return {
    name: 'release_orphans',
    everyMs: 15_000,
    run: () => reservations.releaseOrphans(AT_MOST),
  };
}

/**
 * Settles quiet streams to what can be proven. Two minutes of silence plus this interval keep it
 * within the five minutes that are promised.
 */
export function reconciliationJob(reservations: ReservationService): PeriodicJob {
  return {
    name: 'reconcile_quiet_streams',
    everyMs: 15_000,
    run: () => reservations.reconcileQuietStreams(AT_MOST),
  };
}

export function openReservationsJob(reservations: ReservationService): PeriodicJob {
  return {
    name: 'count_open_reservations',
    everyMs: 10_000,
    run: async () => {
      await reservations.reportOpen();
      return 0;
    },
  };
}
