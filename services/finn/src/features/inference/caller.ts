import type { ServerResponse } from 'node:http';

/** For the caller to take the rest of an answer that is written. */
const TAIL_TIMEOUT_MS = 10_000;

/** Aborted when the connection is lost before the answer has ended. */
export function followCaller(response: ServerResponse): AbortSignal {
  const gone = new AbortController();
  const onClose = (): void => {
    if (!response.writableFinished) gone.abort();
  };
  if (response.destroyed) gone.abort();
  else response.once('close', onClose);
  return gone.signal;
}

/** Whether an answer that was ended has reached the operating system whole. */
export function ended(response: ServerResponse): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (): void => {
      clearTimeout(timer);
      resolve(response.writableFinished);
    };
    const timer = setTimeout(() => response.destroy(), TAIL_TIMEOUT_MS);
    if (response.writableFinished || response.destroyed) {
      settle();
      return;
    }
    response.once('finish', settle);
    response.once('close', settle);
  });
}
