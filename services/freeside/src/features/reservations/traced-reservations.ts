import { inSpan } from '@arrakis/telemetry';
import type { Reservations } from './reservation.domain.ts';

/** The same ledger, each wait for it in a span of the request that waits. */
export function traceReservations(ledger: Reservations): Reservations {
  return {
    reserve: (request) =>
      inSpan('ledger hold', {}, async (span) => {
        const decision = await ledger.reserve(request);
        span.set({ 'arrakis.outcome': decision.accepted ? 'accepted' : decision.code });
        return decision;
      }),
    noteProgress: (progress) => ledger.noteProgress(progress),
    settle: (settlement) =>
      inSpan('ledger settle', { attributes: { 'arrakis.outcome': settlement.carrier } }, () =>
        ledger.settle(settlement),
      ),
    release: (reservationId, reason) =>
      inSpan('ledger release', { attributes: { 'arrakis.outcome': reason } }, () =>
        ledger.release(reservationId, reason),
      ),
  };
}
