import { describe, expect, it } from 'vitest';
import type { ApiClient } from '../kubernetes/api.client.ts';
import { ApiError } from '../kubernetes/api-error.ts';
import type { Lease } from '../kubernetes/objects.ts';
import { LeaderElection, NotLeadingError } from './leader-election.ts';

/** The part of the API server that a Lease needs: versions, and conflicts. */
class LeaseServer {
  lease: Lease | undefined;
  isAway = false;
  #version = 0;

  readonly api = {
    get: () =>
      this.#answer(() => {
        if (this.lease === undefined) throw new ApiError(404, 'NotFound', 'get leases');
        return this.lease;
      }),
    create: (_resource: unknown, lease: Lease) => this.#answer(() => this.#store(lease)),
    replace: (_resource: unknown, lease: Lease) =>
      this.#answer(() => {
        if (lease.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) {
          throw new ApiError(409, 'Conflict', 'update leases');
        }
        return this.#store(lease);
      }),
  } as unknown as ApiClient;

  #store(lease: Lease): Lease {
    this.#version += 1;
    this.lease = {
      ...lease,
      metadata: { ...lease.metadata, resourceVersion: String(this.#version) },
    };
    return this.lease;
  }

  #answer<T>(make: () => T): Promise<T> {
    if (this.isAway) return Promise.reject(new Error('connection refused'));
    return Promise.resolve().then(make);
  }
}

function candidate(server: LeaseServer, identity: string, clock: { ms: number }, aheadMs = 0) {
  const story: string[] = [];
  const election = new LeaderElection({
    api: server.api,
    ...{ namespace: 'n', leaseName: 'l', identity },
    onStarted: () => void story.push('started'),
    onStopped: (why) => void story.push(why),
    onError: () => undefined,
    monotonicMs: () => clock.ms,
    now: () => new Date(1_800_000_000_000 + clock.ms + aheadMs),
  });
  return { election, story };
}

describe('leader election', () => {
  it('lets the first lead, and only the first', async () => {
    const [server, clock] = [new LeaseServer(), { ms: 0 }];
    const [a, b] = [candidate(server, 'a', clock), candidate(server, 'b', clock)];
    await a.election.tick();
    await b.election.tick();
    expect([a.election.isLeading(), b.election.isLeading()]).toEqual([true, false]);
    expect(() => b.election.guard()).toThrow(NotLeadingError);
  });

  it.each([0, 3_600_000, -3_600_000])(
    'goes by what it saw itself, with the other clock off by %i ms',
    async (skewMs) => {
      const [server, clock] = [new LeaseServer(), { ms: 0 }];
      const [a, b] = [candidate(server, 'a', clock, skewMs), candidate(server, 'b', clock)];
      await a.election.tick();
      for (; clock.ms < 60_000; clock.ms += 2_000) {
        await a.election.tick();
        await b.election.tick();
        expect(b.election.isLeading()).toBe(false);
      }
      const diedAtMs = clock.ms;
      while (!b.election.isLeading()) {
        clock.ms += 500;
        await b.election.tick();
      }
      expect(clock.ms - diedAtMs).toBeGreaterThanOrEqual(10_000);
      expect(clock.ms - diedAtMs).toBeLessThan(15_000);
    },
  );

  it('stops trusting itself before another may lead, by more than a write may take', async () => {
    const [server, clock] = [new LeaseServer(), { ms: 0 }];
    const [a, b] = [candidate(server, 'a', clock), candidate(server, 'b', clock)];
    await a.election.tick();
    await b.election.tick();
    server.isAway = true;
    let untrustedAtMs = 0;
    for (; !b.election.isLeading(); clock.ms += 100) {
      if (untrustedAtMs === 0 && !a.election.isLeading()) untrustedAtMs = clock.ms;
      // The old leader is cut off, the other is not.
      server.isAway = false;
      await b.election.tick();
      server.isAway = true;
    }
    expect(clock.ms - untrustedAtMs).toBeGreaterThanOrEqual(4_000);
    expect(() => a.election.guard()).toThrow(NotLeadingError);
  });

  it('says once that it lost, and may lead again later', async () => {
    const [server, clock] = [new LeaseServer(), { ms: 0 }];
    const a = candidate(server, 'a', clock);
    await a.election.tick();
    server.isAway = true;
    clock.ms += 9_000;
    await a.election.tick();
    await a.election.tick();
    expect(a.story).toEqual(['started', 'lost']);
    server.isAway = false;
    await a.election.tick();
    expect(a.story).toEqual(['started', 'lost', 'started']);
  });

  it('never lets two lead, when both find the Lease free at once', async () => {
    const [server, clock] = [new LeaseServer(), { ms: 0 }];
    const [a, b] = [candidate(server, 'a', clock), candidate(server, 'b', clock)];
    await a.election.tick();
    await b.election.tick();
    clock.ms += 20_000;
    await Promise.all([b.election.tick(), a.election.tick()]);
    expect([a, b].filter(({ election }) => election.isLeading())).toHaveLength(1);
  });

  it('hands over at once when it is closed', async () => {
    const [server, clock] = [new LeaseServer(), { ms: 0 }];
    const [a, b] = [candidate(server, 'a', clock), candidate(server, 'b', clock)];
    await a.election.tick();
    await b.election.tick();
    await a.election.close();
    await b.election.tick();
    expect(b.election.isLeading()).toBe(true);
    expect(a.story).toEqual(['started', 'released']);
  });
});
