/**
 * Group commit: what arrives while one batch is in flight goes in the next, so a busy account costs
 * one statement a batch and not one a request, without a timer on the way of a hold.
 *
 * Two lanes. An urgent operation (a hold: somebody waits for it) leaves at once and takes every
 * patient one (a settlement, a progress note) along. Patient operations without company leave after
 * `patienceMs`, on the second lane, so that a hold never waits behind them.
 */
export interface GroupCommitOptions<Operation, Result> {
  /** Applies a batch in order; resolves with one result an operation, in the same order. */
  readonly apply: (operations: readonly Operation[]) => Promise<readonly Result[]>;
  /** True when the failure speaks of one member and not of the database: members are then retried alone. */
  readonly isMemberFault: (error: unknown) => boolean;
  /** True when the same batch may succeed if it is tried again at once: a deadlock, for one. */
  readonly isTransient: (error: unknown) => boolean;
  readonly maxBatch: number;
  /** Operations waiting beyond this are refused with {@link QueueFullError}. */
  readonly maxQueue: number;
  readonly patienceMs: number;
  readonly onBatch?: (size: number, durationMs: number) => void;
}

export class QueueFullError extends Error {
  constructor() {
    super('too many ledger operations are waiting');
    this.name = 'QueueFullError';
  }
}

interface Waiting<Operation, Result> {
  readonly operation: Operation;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export class GroupCommit<Operation, Result> {
  readonly #options: GroupCommitOptions<Operation, Result>;
  readonly #urgent: Waiting<Operation, Result>[] = [];
  readonly #patient: Waiting<Operation, Result>[] = [];
  #urgentInFlight = false;
  #patientInFlight = false;
  #patience: NodeJS.Timeout | undefined;
  #scheduled = false;

  constructor(options: GroupCommitOptions<Operation, Result>) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#urgent.length + this.#patient.length;
  }

  get idle(): boolean {
    return this.waiting === 0 && !this.#urgentInFlight && !this.#patientInFlight;
  }

  /** @throws QueueFullError, or what `apply` threw for this operation. */
  submit(operation: Operation, urgent: boolean): Promise<Result> {
    if (this.waiting >= this.#options.maxQueue) return Promise.reject(new QueueFullError());
    return new Promise((resolve, reject) => {
      (urgent ? this.#urgent : this.#patient).push({ operation, resolve, reject });
      if (urgent) this.#scheduleUrgent();
      else this.#schedulePatient();
    });
  }

  /** Once a turn of the event loop, so that what arrives in the same turn leaves together. */
  #scheduleUrgent(): void {
    if (this.#scheduled || this.#urgentInFlight || this.#urgent.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#urgentInFlight || this.#urgent.length === 0) return;
      this.#urgentInFlight = true;
      const batch = this.#urgent.splice(0, this.#options.maxBatch);
      batch.unshift(...this.#patient.splice(0, this.#options.maxBatch - batch.length));
      void this.#run(batch).finally(() => {
        this.#urgentInFlight = false;
        this.#scheduleUrgent();
        this.#schedulePatient();
      });
    });
  }

  #schedulePatient(): void {
    if (this.#patientInFlight || this.#patient.length === 0) return;
    // A batch that is full gains nothing by waiting.
    if (this.#patient.length >= this.#options.maxBatch) this.#runPatient();
    else this.#patience ??= setTimeout(() => this.#runPatient(), this.#options.patienceMs);
  }

  #runPatient(): void {
    clearTimeout(this.#patience);
    this.#patience = undefined;
    // An urgent batch may have taken them along meanwhile.
    if (this.#patient.length === 0) return;
    this.#patientInFlight = true;
    void this.#run(this.#patient.splice(0, this.#options.maxBatch)).finally(() => {
      this.#patientInFlight = false;
      this.#schedulePatient();
    });
  }

  async #run(batch: readonly Waiting<Operation, Result>[]): Promise<void> {
    let error = await this.#apply(batch);
    if (error !== undefined && this.#options.isTransient(error)) error = await this.#apply(batch);
    if (error === undefined) return;
    if (batch.length > 1 && this.#options.isMemberFault(error)) await this.#runAlone(batch);
    else for (const member of batch) member.reject(error);
  }

  /** One after the other; once the database has gone, the rest needn't find that out one by one. */
  async #runAlone(batch: readonly Waiting<Operation, Result>[]): Promise<void> {
    let gone: unknown;
    for (const member of batch) {
      const error = gone ?? (await this.#apply([member]));
      if (error === undefined) continue;
      member.reject(error);
      if (!this.#options.isMemberFault(error)) gone = error;
    }
  }

  /** Resolves the members, or returns why none of them is resolved. */
  async #apply(batch: readonly Waiting<Operation, Result>[]): Promise<unknown> {
    const began = performance.now();
    try {
      const results = await this.#options.apply(batch.map((member) => member.operation));
      batch.forEach((member, index) => {
        // `apply` owes one result a member; a missing one is a bug that must not pass for success.
        const result = results[index];
        if (result === undefined) member.reject(new Error('the batch returned too few results'));
        else member.resolve(result);
      });
      return undefined;
    } catch (error) {
      return error ?? new Error('the batch failed without an error');
    } finally {
      this.#options.onBatch?.(batch.length, performance.now() - began);
    }
  }
}
