import { describe, expect, it } from 'vitest';
import { pass, type Gate, type GateName } from './gate.domain.ts';
import { runGates, type Clock } from './runner.ts';

const CLOCK: Clock = { now: () => new Date(0), monotonicMs: () => 0 };

function gate(name: GateName, run: Gate['run'], more: Partial<Gate> = {}): Gate {
  return { name, asks: 'what', deadlineMs: 10_000, whenLate: 'inconclusive', run, ...more };
}

describe('runGates', () => {
  it('starts gates at once and keeps their order', async () => {
    const second = Promise.withResolvers<undefined>();
    const ran = await runGates(
      [
        gate('health', async () => {
          await second.promise;
          return pass('first', {});
        }),
        gate('auth', () => {
          second.resolve(undefined);
          return Promise.resolve(pass('second', {}));
        }),
      ],
      CLOCK,
    );
    expect(ran.map(({ finding }) => finding.seen)).toEqual(['first', 'second']);
  });

  it('runs gates of one lane in turn, also after one that broke', async () => {
    const order: string[] = [];
    const step = (name: string) => async () => {
      order.push(`${name} begins`);
      await Promise.resolve();
      order.push(`${name} ends`);
      if (name === 'a') throw new Error('broke');
      return pass(name, {});
    };
    const lane = { lane: 'spending' } as const;
    await runGates([gate('auth', step('a'), lane), gate('billing', step('b'), lane)], CLOCK);
    expect(order).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
  });

  it('never passes a gate that throws', async () => {
    const run = (): never => {
      throw new Error('no way to ask');
    };
    const [ran] = await runGates([gate('health', run)], CLOCK);
    expect(ran?.finding).toMatchObject({ outcome: 'inconclusive', reason: 'no way to ask' });
  });

  it.each(['fail', 'inconclusive'] as const)(
    'ends a late gate as %s, as it says',
    async (whenLate) => {
      let signal: AbortSignal | undefined;
      const run: Gate['run'] = (given) => {
        signal = given;
        return new Promise(() => undefined);
      };
      const [ran] = await runGates([gate('health', run, { deadlineMs: 1, whenLate })], CLOCK);
      expect(ran?.finding).toMatchObject({ outcome: whenLate, reason: 'no end within 0.001 s' });
      expect(signal?.aborted).toBe(true);
    },
  );
});
