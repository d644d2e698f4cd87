import type { FieldError, LimitDetail, ProblemCode } from '@arrakis/contracts';

export interface ProblemErrorInit {
  readonly code: ProblemCode;
  /** One sentence for the caller; never holds a value the caller sent, a secret or a vendor's text. */
  readonly detail?: string | undefined;
  readonly errors?: FieldError[] | undefined;
  readonly limit?: LimitDetail | undefined;
  /** Response headers that belong to the refusal, such as `Retry-After` (seconds). */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** What went wrong underneath; logged for codes of the 5xx range, never rendered. */
  readonly cause?: unknown;
}

/** A refusal on its way to the client; the HTTP app's error handler renders it. */
export class ProblemError extends Error {
  readonly code: ProblemCode;
  readonly detail: string | undefined;
  readonly errors: FieldError[] | undefined;
  readonly limit: LimitDetail | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;

  constructor(init: ProblemErrorInit) {
    super(init.detail ?? init.code, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = 'ProblemError';
    this.code = init.code;
    this.detail = init.detail;
    this.errors = init.errors;
    this.limit = init.limit;
    this.headers = init.headers;
  }
}
