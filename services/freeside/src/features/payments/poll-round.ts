import { VendorError } from './nowpayments.client.ts';

/** What one round has come to. One payment's failure is not the others'. */
export class PollRound {
  moved = 0;
  #failuresInARow = 0;
  #unexpected: Error | undefined;

  /** A part of its own: that another had to be given up says nothing about it. */
  begin(): void {
    this.#failuresInARow = 0;
  }

  /** @throws VendorError when the vendor asks not to be asked; every other failure is noted. */
  async attempt(work: () => Promise<number>): Promise<void> {
    try {
      this.moved += await work();
      this.#failuresInARow = 0;
    } catch (error) {
      if (isBusy(error)) throw error;
      this.#failuresInARow += 1;
      this.note(error);
    }
  }

  /** The vendor, or the database, is away: the others would only wait for the same timeout. */
  get isHopeless(): boolean {
    return this.#failuresInARow >= MAX_FAILURES;
  }

  /** The vendor's failures were counted where it was called. */
  note(error: unknown): void {
    if (error instanceof VendorError) return;
    this.#unexpected ??= error instanceof Error ? error : new Error('no error', { cause: error });
  }

  /** @throws the first failure that was noted */
  end(): void {
    if (this.#unexpected !== undefined) throw this.#unexpected;
  }
}

const MAX_FAILURES = 3;

export function isBusy(error: unknown): error is VendorError {
  return error instanceof VendorError && error.outcome === 'busy';
}
