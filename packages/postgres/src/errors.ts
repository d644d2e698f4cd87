const SQL_STATE = /^[0-9A-Z]{5}$/;

/** Connection exceptions (08), resources (53) and operator intervention (57) but for those below. */
const UNAVAILABLE_STATES = new Set([
  '53000',
  '53200', // out of memory
  '53300', // too many connections
  '57014', // cancelled, as by statement_timeout
  '57P01', // shut down by an administrator
  '57P02', // crash
  '57P03', // starting up or shutting down
  '57P05', // idle session timeout
  '25P03', // idle in transaction timeout
]);

const UNAVAILABLE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** The driver gives these no code. */
const UNAVAILABLE_MESSAGES = [
  'Connection terminated',
  'timeout exceeded when trying to connect',
  'timeout expired',
  'Query read timeout',
  'Client has encountered a connection error',
  'Client was closed and is not queryable',
  'Cannot use a pool after calling end',
];

/** The connection was there and broke: another one may well serve the statement. */
const LOST_CODES = new Set(['ECONNRESET', 'EPIPE', '57P01', '57P02', '08003', '08006']);
const LOST_MESSAGES = ['Connection terminated', 'Client has encountered a connection error'];

const MAX_CAUSES = 4;

/** SQLSTATE of an error that PostgreSQL raised. */
export function sqlState(error: unknown): string | undefined {
  const code = codeOf(error);
  return code !== undefined && SQL_STATE.test(code) && !UNAVAILABLE_CODES.has(code)
    ? code
    : undefined;
}

/** The constraint that PostgreSQL names in an error, as for 23505. */
export function violatedConstraint(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('constraint' in error)) return undefined;
  return typeof error.constraint === 'string' ? error.constraint : undefined;
}

/**
 * Whether the database can't be reached or can't answer now, as opposed to having refused this
 * statement: the caller may answer 503 and try again later.
 */
export function isUnavailable(error: unknown): boolean {
  let current = error;
  for (let depth = 0; depth <= MAX_CAUSES && current instanceof Error; depth += 1) {
    if (saysUnavailable(current)) return true;
    current = current.cause;
  }
  return false;
}

/**
 * Whether a connection broke under its statement, as one does whose pooler is replaced. What became of
 * the statement is unknown.
 */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = codeOf(error);
  return code === undefined
    ? LOST_MESSAGES.some((message) => error.message.startsWith(message))
    : LOST_CODES.has(code);
}

function saysUnavailable(error: Error): boolean {
  const code = codeOf(error);
  if (code !== undefined) {
    return code.startsWith('08') || UNAVAILABLE_STATES.has(code) || UNAVAILABLE_CODES.has(code);
  }
  return UNAVAILABLE_MESSAGES.some((message) => error.message.startsWith(message));
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
