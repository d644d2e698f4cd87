import type { OwnBackends } from '@arrakis/testkit';
import type { Metrics } from '../report/row.ts';

/** What the lanes of `payments.ts` work with. */
export interface PaymentsBench {
  readonly backends: OwnBackends;
  readonly rounds: number;
  /** 1 in a full run; less makes every measurement shorter. */
  readonly scale: number;
  /** Added to the environment of the api. */
  readonly apiEnv: Readonly<Record<string, string>>;
  readonly progress: (line: string) => void;
}

/** What one load has shown. */
export interface Result {
  readonly setting: string;
  /** Medians over the rounds. */
  readonly metrics: Metrics;
  readonly rounds: readonly Metrics[];
}
