import { trace, type Context } from '@opentelemetry/api';
import { SamplingDecision, type Sampler, type SamplingResult } from '@opentelemetry/sdk-trace';

export interface EdgeSamplerOptions {
  /** From 0 to 1. */
  readonly ratio: number;
  readonly trustsCallers: boolean;
  /** In [0, 1). */
  readonly random: () => number;
}

const YES: SamplingResult = { decision: SamplingDecision.RECORD_AND_SAMPLED };
const NO: SamplingResult = { decision: SamplingDecision.NOT_RECORD };
const SAMPLED = 1;

/**
 * Follows the parent, except a stranger's: then it draws. Not by the trace id as the ratio sampler
 * of OpenTelemetry does, because a stranger chooses that.
 */
export class EdgeSampler implements Sampler {
  readonly #options: EdgeSamplerOptions;

  constructor(options: EdgeSamplerOptions) {
    this.#options = options;
  }

  shouldSample(context: Context): SamplingResult {
    const { ratio, trustsCallers, random } = this.#options;
    const parent = trace.getSpanContext(context);
    if (parent !== undefined && (trustsCallers || parent.isRemote !== true)) {
      return (parent.traceFlags & SAMPLED) === SAMPLED ? YES : NO;
    }
    return random() < ratio ? YES : NO;
  }

  toString(): string {
    return 'EdgeSampler';
  }
}
