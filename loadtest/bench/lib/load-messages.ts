/** What is said between the bench and the processes that make load. */
export type ToLoader<Load> =
  { readonly do: 'run'; readonly load: Load } | { readonly do: 'go' } | { readonly do: 'finish' };

/** `ready`: measure from now on, then say `go`; `over`: stop measuring, then say `finish`. */
export type FromLoader<Result> =
  | { readonly is: 'ready' }
  | { readonly is: 'over' }
  | { readonly is: 'result'; readonly result: Result }
  | { readonly is: 'failed'; readonly reason: string };

/** Told when measuring begins and ends; each waits until the meters were read. */
export interface Marks {
  begin(): Promise<void>;
  end(): Promise<void>;
}
