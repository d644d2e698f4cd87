import { describe, expect, it } from 'vitest';
import { LedgerRetries, type DeferredOperation } from './ledger-retries.ts';

function setUp(options: { capacity?: number; maxAttempts?: number } = {}) {
  const waits: number[] = [];
  const gaveUp: string[] = [];
  const retries = new LedgerRetries({
    capacity: options.capacity ?? 100,
    maxAttempts: options.maxAttempts ?? 5,
    firstDelayMs: 250,
    maxDelayMs: 1_000,
    sleep(ms) {
      waits.push(ms);
      return new Promise((resolve) => setImmediate(resolve));
    },
    onGaveUp: ({ reservationId }) => gaveUp.push(reservationId),
  });
  return { retries, waits, gaveUp };
}

function operation(reservationId: string, failures: number): DeferredOperation {
  let left = failures;
  const run = (): Promise<void> => {
    left -= 1;
    return left >= 0 ? Promise.reject(new Error('away')) : Promise.resolve();
  };
  return { reservationId, name: 'settle', run };
}

async function idle(retries: LedgerRetries): Promise<void> {
  while (retries.pending > 0) await new Promise((resolve) => setImmediate(resolve));
}

describe('ledger operations that failed', () => {
  it('are tried until they succeed, ever more slowly', async () => {
    const { retries, waits, gaveUp } = setUp();
    retries.add(operation('a', 3));
    await idle(retries);
    expect(waits).toEqual([250, 500, 1_000, 1_000]);
    expect(gaveUp).toEqual([]);
  });

  it('are given up after their last attempt, and don’t hold up others', async () => {
    const { retries, gaveUp } = setUp();
    retries.add(operation('never', 1_000));
    retries.add(operation('once', 1));
    await idle(retries);
    expect(gaveUp).toEqual(['never']);
  });

  it('are tried with a pause between, also after others have succeeded', async () => {
    const { retries, waits } = setUp();
    const later = operation('later', 2);
    retries.add({
      reservationId: 'first',
      name: 'settle',
      run() {
        retries.add(later);
        return Promise.resolve();
      },
    });
    await idle(retries);
    expect(waits).toEqual([250, 0, 250, 500]);
  });

  it('are not kept beyond the capacity', () => {
    const { retries, gaveUp } = setUp({ capacity: 1 });
    retries.add(operation('a', 0));
    retries.add(operation('b', 0));
    expect(gaveUp).toEqual(['b']);
  });

  it('are tried once more when the process ends', async () => {
    const { retries, gaveUp } = setUp({ maxAttempts: 1_000 });
    retries.add(operation('ready', 0));
    retries.add(operation('never', 1_000));
    await retries.drain();
    expect(retries.pending).toBe(0);
    expect(gaveUp).toEqual(['never']);
  });
});
