import { describe, expect, it } from 'vitest';
import { waitFor } from './wait-for.ts';

describe('waitFor', () => {
  it('returns what the condition returned once it held', async () => {
    let asked = 0;
    expect(await waitFor(() => (++asked === 3 ? 'three' : undefined), { intervalMs: 1 })).toBe(
      'three',
    );
    expect(asked).toBe(3);
  });

  it('takes an exception for "not yet" and shows the last one', async () => {
    const condition = (): never => {
      throw new Error('refused');
    };
    const error = await waitFor(condition, { timeoutMs: 5, intervalMs: 1, what: 'the door' }).catch(
      (reason: unknown) => reason as Error,
    );
    expect(error).toMatchObject({
      message: 'not within 5 ms: the door',
      cause: { message: 'refused' },
    });
  });
});
