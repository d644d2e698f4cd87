import type { Summary } from '../lib/statistics.ts';

/** Evenly spaced deliveries that wait for nobody, or that many senders who wait for their answers. */
export type Shape =
  | { readonly kind: 'open'; readonly perSecond: number }
  | { readonly kind: 'closed'; readonly connections: number };

export interface DeliveriesLoad {
  /**
   * `finished`: signed notices that credit a pack each, with repeats among them. For contrast:
   * `forged`, the same posts with a wrong signature, and `row`, one row committed past our service.
   */
  readonly sends: 'finished' | 'forged' | 'row';
  readonly shape: Shape;
  readonly origin: string;
  readonly ipnSecret: string;
  /** Of the tables' owner, who opens the payments; and of the service's role. */
  readonly migratorUrl: string;
  readonly appUrl: string;
  /** Over how many communities the payments are spread. */
  readonly communities: number;
  /** Share of deliveries that tell again what was told before, 0 to 1. */
  readonly repeats: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
}

export interface DeliveriesResult {
  readonly deliveries: number;
  readonly elapsedMs: number;
  /** From the intended moment until the answer; of those that credited, and of those that did not. */
  readonly credited: Summary;
  readonly others: Summary;
  /** How late the generator itself sent; of open loops. */
  readonly lateness: Summary;
}
