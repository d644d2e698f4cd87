import { inconclusive, type Gate, type GateName } from '../gate.domain.ts';

/**
 * The gate of a feature that isn't there yet. It has its place so that nobody mistakes "not asked"
 * for "passed"; the feature brings a file of its own and takes the entry over.
 */
export function notBuiltGate(name: GateName, asks: string, feature: string): Gate {
  return {
    name,
    asks,
    deadlineMs: 1_000,
    whenLate: 'inconclusive',
    run: () => Promise.resolve(inconclusive(`${feature} are not part of the platform yet`)),
  };
}
