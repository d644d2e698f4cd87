/** What is read of a Lease. */
interface LeaseText {
  readonly metadata: { readonly resourceVersion?: string };
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly renewTime?: string;
    readonly leaseDurationSeconds?: number;
  };
}

/**
 * A Lease as one candidate sees it. Times are the candidate's own, monotonic: what another process
 * wrote as its time is only compared with itself, never with our clock.
 */
export interface LeaseView {
  /** `holder@renewTime@resourceVersion`; another text means that somebody is alive. */
  readonly mark: string;
  readonly holder: string | undefined;
  readonly durationMs: number;
  /** When we first saw this mark. */
  readonly seenAtMs: number;
}

export function viewLease(
  lease: LeaseText,
  previous: LeaseView | undefined,
  nowMs: number,
): LeaseView {
  const { holderIdentity = '', renewTime = '', leaseDurationSeconds = 12 } = lease.spec ?? {};
  const mark = `${holderIdentity}@${renewTime}@${lease.metadata.resourceVersion ?? ''}`;
  return {
    mark,
    holder: holderIdentity === '' ? undefined : holderIdentity,
    durationMs: leaseDurationSeconds * 1000,
    seenAtMs: previous?.mark === mark ? previous.seenAtMs : nowMs,
  };
}

/** Free, ours, or not renewed for its whole duration as far as we could see. */
export function mayTake(view: LeaseView, identity: string, nowMs: number): boolean {
  if (view.holder === undefined || view.holder === identity) return true;
  return nowMs - view.seenAtMs >= view.durationMs;
}
