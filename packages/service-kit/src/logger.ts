import { pino, type DestinationStream, type Logger } from 'pino';
import { serviceVersion } from './service-version.ts';

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
export type { Logger } from 'pino';

export interface LoggerOptions {
  readonly service: string;
  readonly level: LogLevel;
  /** Where the lines go; standard output when absent. */
  readonly destination?: DestinationStream | undefined;
}

/** Buffered lines are written when this many bytes wait, or this much time has passed. */
const BUFFER_BYTES = 4096;
const FLUSH_INTERVAL_MS = 100;
const MAX_CAUSES = 4;

/**
 * Fields that must not reach a log whatever object carries them. Paths without wildcards, because
 * a wildcard makes every line pay.
 */
const REDACTED_PATHS = ['', 'headers.', 'req.headers.', 'request.headers.', 'res.headers.'].flatMap(
  (prefix) =>
    ['authorization', 'cookie', '["set-cookie"]', '["x-api-key"]'].map((name) =>
      name.startsWith('[') ? `${prefix.slice(0, -1)}${name}` : `${prefix}${name}`,
    ),
);

/**
 * JSON lines with ISO timestamps. Errors are reduced to type, code, message, stack and causes:
 * drivers hang requests, headers and rows on their errors, which must not be logged with them.
 */
export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      level: options.level,
      base: { service: options.service, version: serviceVersion(), pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED_PATHS, censor: '[redacted]' },
      serializers: { err: (error: unknown) => describeError(error), error: describeError },
    },
    options.destination ?? standardOutput(),
  );
}

/** Writes in batches off the request's path; what is left is flushed when the process exits. */
function standardOutput(): DestinationStream {
  return pino.destination({
    dest: 1,
    sync: false,
    minLength: BUFFER_BYTES,
    periodicFlush: FLUSH_INTERVAL_MS,
  });
}

export interface ErrorDescription {
  readonly type: string;
  readonly code?: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: ErrorDescription;
}

/** The parts of an error that may be logged. */
export function describeError(error: unknown, depth = 0): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, message: 'thrown value is no Error' };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    message: error.message,
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth >= MAX_CAUSES
      ? {}
      : { cause: describeError(error.cause, depth + 1) }),
  };
}
