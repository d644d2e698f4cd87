/** A state that a workload was in. */
export interface Revision {
  /** The higher, the newer. */
  readonly number: number;
  /** What takes the workload back to it: a JSON patch, or a strategic merge patch. */
  readonly patch: object;
}

export interface Workload {
  readonly kind: 'Deployment' | 'StatefulSet';
  readonly name: string;
  /** Of the one before today's; `undefined` when there was none, or it isn't kept. */
  readonly previous: Revision | undefined;
}

export type DryRun =
  | { readonly outcome: 'accepted' }
  | { readonly outcome: 'refused' | 'unclear'; readonly reason: string };

/** The newest that is older than the current one. */
export function previousRevision(
  revisions: readonly Revision[],
  current: number,
): Revision | undefined {
  return revisions
    .filter(({ number }) => number > 0 && number < current)
    .reduce<Revision | undefined>(
      (best, one) => (best === undefined || one.number > best.number ? one : best),
      undefined,
    );
}
