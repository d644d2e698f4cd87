import { waitFor } from '@arrakis/testkit';
import { describe, expect, it } from 'vitest';
import { WorkQueue, type WorkQueueOptions } from './work-queue.ts';

/** Work that ends when the test says so. */
function gate() {
  const started: string[] = [];
  const waiting: { key: string; end: (result?: number) => void; fail: () => void }[] = [];
  const work = (key: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      started.push(key);
      waiting.push({ key, end: resolve, fail: () => reject(new Error('broken')) });
    });
  return { started, waiting, work, endNext: (result?: number) => waiting.shift()?.end(result) };
}

function queueOf(work: WorkQueueOptions['work'], change: Partial<WorkQueueOptions> = {}) {
  const failures: number[] = [];
  const queue = new WorkQueue({
    work,
    parallelism: 2,
    backoff: { firstMs: 1, maxMs: 4 },
    onError: (_key, _error, count) => void failures.push(count),
    random: () => 0.5,
    ...change,
  });
  return { queue, failures };
}

describe('the work queue', () => {
  it('looks at a key once however often it is added while it waits', async () => {
    const { started, work, endNext } = gate();
    const { queue } = queueOf(work, { parallelism: 1 });
    queue.add('busy');
    for (let index = 0; index < 10; index += 1) queue.add('a');
    expect(queue.depth).toBe(1);
    endNext();
    await waitFor(() => started.length === 2);
    endNext();
    await queue.close();
    expect(started).toEqual(['busy', 'a']);
  });

  it('never has two workers on one key, and looks again if it was added meanwhile', async () => {
    let working = 0;
    let most = 0;
    let looks = 0;
    const { queue } = queueOf(
      async () => {
        working += 1;
        looks += 1;
        most = Math.max(most, working);
        await Promise.resolve();
        if (looks < 5) queue.add('a');
        working -= 1;
        return undefined;
      },
      { parallelism: 8 },
    );
    queue.add('a');
    await waitFor(() => looks === 5);
    expect(most).toBe(1);
    await queue.close();
  });

  it('works on as many keys at once as it may, oldest first', async () => {
    const { started, work, waiting, endNext } = gate();
    const { queue } = queueOf(work);
    for (const key of ['a', 'b', 'c', 'd']) queue.add(key);
    expect(started).toEqual(['a', 'b']);
    expect([queue.working, queue.depth]).toEqual([2, 2]);
    endNext();
    await waitFor(() => started.length === 3);
    expect(started[2]).toBe('c');
    while (waiting.length > 0 || queue.depth > 0) {
      endNext();
      await Promise.resolve();
    }
    await queue.close();
  });

  it('repeats what failed, with a backoff that a success ends', async () => {
    let left = 3;
    const { queue, failures } = queueOf(() =>
      left-- > 0 ? Promise.reject(new Error('broken')) : Promise.resolve(undefined),
    );
    queue.add('a');
    await waitFor(() => left < 0);
    expect(failures).toEqual([1, 2, 3]);
    left = 1;
    queue.add('a');
    await waitFor(() => left < 0);
    expect(failures).toEqual([1, 2, 3, 1]);
    await queue.close();
  });

  it('comes back at the earliest of the times that were asked for', async () => {
    const { started, work } = gate();
    const { queue } = queueOf(work);
    queue.addAfter('a', 60_000);
    queue.addAfter('a', 5);
    queue.addAfter('a', 30_000);
    expect(queue.delayed).toBe(1);
    await waitFor(() => started.length === 1);
    expect(queue.delayed).toBe(0);
  });

  it('comes back after as long as the work said', async () => {
    let looks = 0;
    const { queue } = queueOf(() => Promise.resolve((looks += 1) < 3 ? 1 : undefined));
    queue.add('a');
    await waitFor(() => looks === 3);
    expect(queue.delayed).toBe(0);
    await queue.close();
  });

  it('forgets the appointments of a key that is gone', () => {
    const { work } = gate();
    const { queue } = queueOf(work);
    queue.addAfter('a', 60_000);
    queue.forget('a');
    expect(queue.delayed).toBe(0);
  });

  it('closes when what is under way has ended, and takes nothing more in', async () => {
    const { started, work, endNext } = gate();
    const { queue } = queueOf(work, { parallelism: 1 });
    queue.add('a');
    queue.add('b');
    let isClosed = false;
    const closing = queue.close().then(() => (isClosed = true));
    queue.add('c');
    await Promise.resolve();
    expect(isClosed).toBe(false);
    endNext(1);
    await closing;
    expect(started).toEqual(['a']);
  });
});
