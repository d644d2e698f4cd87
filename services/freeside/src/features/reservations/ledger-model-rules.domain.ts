import type { TokenCount } from '@arrakis/money';
import type {
  ModelCommunity,
  ModelCarrier,
  ModelReservation,
} from './ledger-model-books.domain.ts';
import type { KeyWindows, ModelKey } from './ledger-model-limits.domain.ts';
import type { Carrier, HoldRequest } from './reservation.domain.ts';

const ORPHAN_AFTER_MS = 5 * 60_000;
const QUIET_AFTER_MS = 2 * 60_000;
const CORRECTABLE_FOR_MS = 72 * 60 * 60_000;
const AUTHORITY: Record<ModelCarrier, number> = {
  reconciliation: 1,
  journal: 2,
  done_event: 3,
  response_header: 3,
  usage_event: 3,
  not_delivered: 4,
};

/**
 * The guards of the ledger, one method each, so that a test can break one at a time and see that
 * somebody notices.
 */
export class LedgerRules {
  covers(community: ModelCommunity, needMicro: bigint): boolean {
    return community.availableMicro >= needMicro;
  }

  mayUseKey(key: ModelKey, request: HoldRequest): boolean {
    return key.isActive && key.communityId === request.communityId;
  }

  mayRequest(key: ModelKey, windows: KeyWindows): boolean {
    return windows.requests < key.requestsPerMinute;
  }

  mayUseTokens(key: ModelKey, windows: KeyWindows, tokens: number): boolean {
    return windows.tokens + tokens <= key.tokensPerDay;
  }

  /** Whether a count or a release ends the hold: terminal states absorb. */
  isOpen(reservation: ModelReservation): boolean {
    return reservation.status === 'reserved' || reservation.status === 'streaming';
  }

  /** Whether nobody has reported for so long that the hold is given back. */
  isOrphan(reservation: ModelReservation, atMs: number): boolean {
    return reservation.status === 'reserved' && reservation.createdAtMs < atMs - ORPHAN_AFTER_MS;
  }

  /** Whether a stream has been silent for so long that it is settled to what was relayed. */
  isQuiet(reservation: ModelReservation, atMs: number): boolean {
    return reservation.status === 'streaming' && reservation.quietSinceMs < atMs - QUIET_AFTER_MS;
  }

  /** Whether a count for a hold that was given back is charged from the balance. */
  mayCaptureLate({ status, settledBy }: ModelReservation): boolean {
    return status === 'orphan_released' && settledBy === undefined;
  }

  mayCorrect(
    reservation: ModelReservation,
    carrier: Carrier,
    count: TokenCount,
    atMs: number,
  ): boolean {
    const { status, settledBy, relayed, endedAtMs } = reservation;
    if (status === 'released' || settledBy === undefined) return false;
    if (endedAtMs <= atMs - CORRECTABLE_FOR_MS) return false;
    // A journal proves a lower bound; it never takes back what the relay has shown.
    const showsLess = carrier === 'journal' && count.completionTokens <= relayed.completionTokens;
    return AUTHORITY[carrier] > AUTHORITY[settledBy] && !showsLess;
  }

  /** Whether a charge is taken back because nothing reached the client: finn can't know that. */
  mayTakeBack({ status, settledBy }: ModelReservation): boolean {
    return (
      status !== 'released' &&
      (settledBy === 'usage_event' || settledBy === 'journal' || settledBy === 'reconciliation')
    );
  }
}
