/** One HTTP answer, read to its end. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; `undefined` when it is none. */
  readonly json: unknown;
}

export interface Ask {
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object;
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
const MAX_CHARACTERS = 4 * 1024 * 1024;

/** No answer came: nobody listens, or not in time. The message is safe to print. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError';
}

/** @throws NoAnswerError when there is no whole answer. Any status is an answer. */
export async function ask(url: string, options: Ask): Promise<HttpAnswer> {
  try {
    const response = await send(url, options);
    const text = await response.text();
    if (text.length > MAX_CHARACTERS) throw new NoAnswerError(`${url}: far too large an answer`);
    return { status: response.status, headers: response.headers, text, json: parse(text) };
  } catch (error) {
    throw toNoAnswer(url, error);
  }
}

/** The answer at its head; the body is the caller's to read. @throws what fetch throws. */
export function send(url: string, options: Ask): Promise<Response> {
  const { method = 'GET', headers = {}, body, signal, timeoutMs = TIMEOUT_MS } = options;
  return fetch(url, {
    method,
    redirect: 'manual',
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });
}

export function toNoAnswer(url: string, error: unknown): NoAnswerError {
  if (error instanceof NoAnswerError) return error;
  return new NoAnswerError(`${url} ${describe(error)}`);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'could not be asked';
  if (error.name === 'TimeoutError') return 'did not answer in time';
  if (error.name === 'AbortError') return 'was asked no further: the deadline passed';
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : error.name;
  return `could not be reached (${code})`;
}

/** A member of a JSON object, or of one inside it; `undefined` when there is none. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (found, name) =>
      typeof found === 'object' && found !== null
        ? (found as Readonly<Record<string | number, unknown>>)[name]
        : undefined,
    value,
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
