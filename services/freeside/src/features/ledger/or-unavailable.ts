import { isUnavailable } from '@arrakis/postgres';
import { ProblemError } from '@arrakis/service-kit';

/** @throws ProblemError 503 when the database can't be reached, else whatever the work throws. */
export async function orUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (!isUnavailable(cause)) throw cause;
    throw new ProblemError({
      code: 'service_unavailable',
      detail: 'The ledger cannot be reached.',
      headers: { 'retry-after': '1' },
      cause,
    });
  }
}
