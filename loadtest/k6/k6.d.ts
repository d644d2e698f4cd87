/** What our scripts use of k6's own modules; k6 brings them along, no package does. */

declare module 'k6' {
  export function sleep(seconds: number): void;
  /** Ends the iteration, or the whole run when it is called in `setup` or `teardown`. */
  export function fail(reason: string): never;
}

declare module 'k6/http' {
  export interface Params {
    readonly headers?: Readonly<Record<string, string>>;
    readonly tags?: Readonly<Record<string, string>>;
    readonly timeout?: string;
  }
  export interface Response {
    /** 0 when there was none. */
    readonly status: number;
    readonly body: string | null;
    readonly headers: Readonly<Record<string, string>>;
    readonly error: string;
    /** Milliseconds. */
    readonly timings: { readonly waiting: number; readonly duration: number };
  }
  interface Http {
    get(url: string, params?: Params): Response;
    post(url: string, body: string, params?: Params): Response;
  }
  const http: Http;
  // k6 itself exports it so.
  export default http;
}

declare module 'k6/metrics' {
  class Metric {
    constructor(name: string, isTime?: boolean);
    add(value: number | boolean): void;
  }
  export class Counter extends Metric {}
  export class Rate extends Metric {}
  export class Trend extends Metric {}
}

/** The environment of the run. */
declare const __ENV: Readonly<Record<string, string | undefined>>;
/** Turns that this virtual user has taken. */
declare const __ITER: number;
