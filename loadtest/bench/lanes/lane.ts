import type { OwnBackends } from '@arrakis/testkit';
import type { Contestant } from '../contestants/contestant.ts';
import type { Ours } from '../contestants/ours.ts';
import type { Provider } from '../contestants/provider.ts';
import type { Generator } from '../generator/handle.ts';
import type { Row } from '../report/row.ts';

/** What lanes work with. */
export interface Bench {
  readonly provider: Provider;
  /** The provider itself first. */
  readonly contestants: readonly Contestant[];
  readonly ours: Ours;
  readonly backends: OwnBackends;
  readonly generator: Generator;
  readonly rounds: number;
  /** 1 in a full run; less makes every measurement shorter. */
  readonly scale: number;
  readonly memoryMs: number;
  /** What earlier lanes have found. */
  readonly found: readonly Row[];
  readonly progress: (line: string) => void;
}

/** @throws Error when an answer of ours, or of the provider, was wrong: the run is void. */
export type Lane = (bench: Bench) => Promise<Row[]>;
