import type { Target } from '../generator/protocol.ts';
import type { ProcessGroups } from '../lib/process-cpu.ts';

export type ContestantName = 'direct' | 'portkey' | 'arrakis' | 'arrakis+tracing' | 'variant';

/** Who takes part in a comparison. */
export interface Contestant {
  readonly name: ContestantName;
  readonly target: Target;
  /** What works for it, beside the provider and the generator that all share. */
  readonly processes: ProcessGroups;
  stop(): Promise<void>;
}
