import { describe, expect, it } from 'vitest';
import { GroupCommit, QueueFullError, type GroupCommitOptions } from './group-commit.ts';

function deferred() {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

function create(options: Partial<GroupCommitOptions<string, string>> = {}) {
  const batches: string[][] = [];
  const commit = new GroupCommit<string, string>({
    apply: (operations) => {
      batches.push([...operations]);
      return Promise.resolve(operations.map((operation) => `${operation}!`));
    },
    isMemberFault: () => false,
    isTransient: () => false,
    maxBatch: 100,
    maxQueue: 1000,
    patienceMs: 1,
    ...options,
  });
  return { commit, batches };
}

describe('group commit', () => {
  it('sends what arrives in one turn as one batch and answers each member', async () => {
    const { commit, batches } = create();
    const results = await Promise.all(['a', 'b', 'c'].map((op) => commit.submit(op, true)));
    expect(results).toEqual(['a!', 'b!', 'c!']);
    expect(batches).toEqual([['a', 'b', 'c']]);
  });

  it('collects in the next batch what arrives while one is in flight', async () => {
    const gate = deferred();
    const batches: string[][] = [];
    const { commit } = create({
      apply: async (operations) => {
        batches.push([...operations]);
        if (batches.length === 1) await gate.promise;
        return [...operations];
      },
    });
    const first = commit.submit('first', true);
    await new Promise(setImmediate);
    const rest = ['x', 'y', 'z'].map((op) => commit.submit(op, true));
    await new Promise(setImmediate);
    expect(batches).toEqual([['first']]);
    gate.resolve();
    await Promise.all([first, ...rest]);
    expect(batches).toEqual([['first'], ['x', 'y', 'z']]);
  });

  it('takes patient operations along, ahead of the urgent ones', async () => {
    const { commit, batches } = create({ patienceMs: 60_000 });
    const patient = commit.submit('settle', false);
    await Promise.all([commit.submit('hold', true), patient]);
    expect(batches).toEqual([['settle', 'hold']]);
  });

  it('sends patient operations alone when no urgent one comes', async () => {
    const { commit, batches } = create();
    await commit.submit('settle', false);
    expect(batches).toEqual([['settle']]);
  });

  it('does not let an urgent operation wait for a patient batch', async () => {
    const gate = deferred();
    const { commit } = create({
      apply: async (operations) => {
        if (operations.includes('settle')) await gate.promise;
        return [...operations];
      },
    });
    const patient = commit.submit('settle', false);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await commit.submit('hold', true);
    gate.resolve();
    await patient;
  });

  it('retries members alone when one of them is at fault, and fails only that one', async () => {
    const { commit } = create({
      apply: (operations) =>
        operations.includes('bad')
          ? Promise.reject(new Error('bad member'))
          : Promise.resolve([...operations]),
      isMemberFault: () => true,
    });
    const results = await Promise.allSettled(
      ['a', 'bad', 'b'].map((operation) => commit.submit(operation, true)),
    );
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('fails every member when the database is at fault, and goes on with the next batch', async () => {
    let down = true;
    const { commit } = create({
      apply: (operations) =>
        down ? Promise.reject(new Error('database down')) : Promise.resolve([...operations]),
    });
    const results = await Promise.allSettled(['a', 'b'].map((op) => commit.submit(op, true)));
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected']);
    down = false;
    await expect(commit.submit('c', true)).resolves.toBe('c');
  });

  it('never takes a missing result for success', async () => {
    const { commit } = create({ apply: () => Promise.resolve([]) });
    await expect(commit.submit('a', true)).rejects.toThrow('too few results');
  });

  it('refuses beyond its bound instead of growing', async () => {
    const gate = deferred();
    const { commit } = create({
      maxQueue: 2,
      apply: async (operations) => {
        await gate.promise;
        return [...operations];
      },
    });
    const inFlight = commit.submit('in flight', true);
    await new Promise(setImmediate);
    const waiting = [commit.submit('1', true), commit.submit('2', true)];
    await expect(commit.submit('3', true)).rejects.toBeInstanceOf(QueueFullError);
    gate.resolve();
    await Promise.all([inFlight, ...waiting]);
    await new Promise(setImmediate);
    expect(commit.idle).toBe(true);
  });

  it('splits what exceeds the largest batch', async () => {
    const { commit, batches } = create({ maxBatch: 2 });
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map((op) => commit.submit(op, true)));
    expect(batches.map((batch) => batch.length)).toEqual([2, 2, 1]);
  });

  it('lets patient ones wait no longer once they fill a batch', async () => {
    const { commit, batches } = create({ maxBatch: 2, patienceMs: 3_600_000 });
    await Promise.all(['a', 'b', 'c', 'd'].map((op) => commit.submit(op, false)));
    expect(batches).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
  });

  it('tries a batch that met a transient failure once more as a whole', async () => {
    const batches: string[][] = [];
    const { commit } = create({
      apply: (operations) => {
        batches.push([...operations]);
        if (batches.length === 1) return Promise.reject(new Error('deadlock'));
        return Promise.resolve([...operations]);
      },
      isTransient: () => true,
      isMemberFault: () => true,
    });
    await expect(Promise.all(['a', 'b'].map((op) => commit.submit(op, true)))).resolves.toEqual([
      'a',
      'b',
    ]);
    expect(batches).toEqual([
      ['a', 'b'],
      ['a', 'b'],
    ]);
  });

  it('tries members alone only after the second failure of the whole', async () => {
    const batches: string[][] = [];
    const { commit } = create({
      apply: (operations) => {
        batches.push([...operations]);
        return operations.length > 1
          ? Promise.reject(new Error('deadlock'))
          : Promise.resolve([...operations]);
      },
      isTransient: () => true,
      isMemberFault: () => true,
    });
    await Promise.all(['a', 'b'].map((op) => commit.submit(op, true)));
    expect(batches).toEqual([['a', 'b'], ['a', 'b'], ['a'], ['b']]);
  });

  it('asks a database that has gone no further for the members that are left', async () => {
    const batches: string[][] = [];
    const { commit } = create({
      apply: (operations) => {
        batches.push([...operations]);
        return Promise.reject(new Error(operations.length > 1 ? 'poison' : 'gone'));
      },
      isMemberFault: (error) => (error as Error).message === 'poison',
    });
    const results = await Promise.allSettled(['a', 'b', 'c'].map((op) => commit.submit(op, true)));
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(batches).toEqual([['a', 'b', 'c'], ['a']]);
  });
});
