import { Type } from 'typebox';

/** Variables that every service reads, and the two kinds that most others are of. */

export const portVariable = (description: string, fallback: number) =>
  Type.Integer({ description, minimum: 0, maximum: 65_535, default: fallback });

export const durationVariable = (description: string, fallback: number) =>
  Type.Integer({ description, minimum: 1, maximum: 3_600_000, default: fallback });

export const COMMON_VARIABLES = {
  NODE_ENV: Type.Enum(['development', 'test', 'production'], {
    description: 'production refuses unsafe values',
    default: 'development',
  }),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    description: 'Least severe level that is logged',
    default: 'info',
  }),
  DRAIN_DEADLINE_MS: durationVariable('For open streams to end at shutdown', 120_000),
  DRAIN_ANNOUNCE_MS: Type.Integer({
    description: 'Between "not ready" and the end of intake, for balancers to look away',
    minimum: 0,
    maximum: 60_000,
    default: 0,
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    Type.String({
      description: 'Base URL of an OTLP/HTTP collector; without it nothing is traced',
      pattern: '^https?://[^\\s@?#]+$',
      maxLength: 2000,
    }),
  ),
  OTEL_TRACES_SAMPLER_ARG: Type.Number({
    description: 'Share of the traces beginning here that are recorded',
    minimum: 0,
    maximum: 1,
    default: 0.1,
  }),
};

/** Of every service that follows feature flags. */
export const FLAGS_DIR_VARIABLE = Type.Optional(
  Type.String({
    description: 'Where the ConfigMap of the flags is mounted: the fallback while NATS is away',
    maxLength: 4096,
  }),
);

/** Of every service that makes streams or buckets in NATS. */
export const NATS_STREAM_REPLICAS_VARIABLE = Type.Integer({
  description: 'Copies of a stream that is made, each on a NATS server of its own',
  minimum: 1,
  maximum: 5,
  default: 1,
});
