/**
 * Whether this process still wants work. Shared by the public app (which then asks clients to
 * reconnect elsewhere), the admin server (which answers "not ready") and long-running loops.
 */
export interface Lifecycle {
  readonly isDraining: () => boolean;
  /** Aborted when draining begins. */
  readonly signal: AbortSignal;
  readonly beginDraining: () => void;
}

export function createLifecycle(): Lifecycle {
  const controller = new AbortController();
  return {
    isDraining: () => controller.signal.aborted,
    signal: controller.signal,
    beginDraining: () => controller.abort(),
  };
}
