import type { PlannedEvent } from './draft.domain.ts';
import { plusMs, type Signers } from './world.domain.ts';

/** A deletion waits for replicas to stop signing, but not for ever. */
export const DELETION_DEADLINE_MS = 10 * 60_000;

export interface Deletion {
  readonly now: Date;
  readonly requestedAt: Date;
  /** Kids of the Secret, the status and the table that belong to the resource. */
  readonly kids: readonly string[];
  readonly signers: Signers;
}

export interface DeletionPlan {
  /** Take the public halves out and let the resource go. */
  readonly release: boolean;
  readonly event: PlannedEvent;
}

export const DELETION_RETRY_MS = 2_000;

/**
 * Public halves go only when no replica signs with them any more: else every token would be refused
 * at once. No ready replica at all means that nobody signs; that is how an uninstall looks.
 */
export function planDeletion(deletion: Deletion): DeletionPlan {
  const { signers, kids } = deletion;
  const inUse = signers.kids.filter((kid) => kids.includes(kid));
  if (inUse.length === 0 && signers.unclear === undefined) {
    return {
      release: true,
      event: {
        type: 'Normal',
        reason: 'KeysWithdrawn',
        note: 'no replica signs with these keys; their public halves are withdrawn',
      },
    };
  }
  const why = signers.unclear ?? `replicas sign with ${[...new Set(inUse)].join(', ')} still`;
  if (plusMs(deletion.requestedAt, DELETION_DEADLINE_MS) <= deletion.now) {
    return {
      release: true,
      event: {
        type: 'Warning',
        reason: 'DeletionForced',
        note: `the deadline of the deletion has passed although ${why}`,
      },
    };
  }
  return {
    release: false,
    event: { type: 'Warning', reason: 'DeletionWaits', note: `the deletion waits: ${why}` },
  };
}
