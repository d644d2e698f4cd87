/** The API server's refusal. Holds its reason and no object: a Secret may have been asked for. */
export class ApiError extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, what: string, message = '') {
    super(`${what}: ${status} ${reason}${message === '' ? '' : ` (${message})`}`);
    this.name = 'ApiError';
    this.status = status;
    this.reason = reason;
  }
}

export const isNotFound = (error: unknown): boolean =>
  error instanceof ApiError && error.status === 404;

/** Somebody else wrote first: read again, decide again. */
export const isConflict = (error: unknown): boolean =>
  error instanceof ApiError && error.status === 409;

/** The version that a watch wanted to go on from is no longer kept. */
export const isGone = (error: unknown): boolean =>
  error instanceof ApiError && (error.status === 410 || error.reason === 'Expired');
