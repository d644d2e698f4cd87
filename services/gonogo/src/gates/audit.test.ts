import { describe, expect, it } from 'vitest';
import {
  COMMUNITIES,
  TrailWriter,
  mint,
} from '../../../../packages/audit/src/test-support/make-trail.ts';
import { auditGate } from './audit.ts';

const signal = new AbortController().signal;
const emptyTrail = (unsealed: number) => ({
  batchAfter: () => Promise.resolve(undefined),
  unsealedSeconds: () => Promise.resolve(unsealed),
});

describe('the gate of the audit trail', () => {
  it('fails while an operation has waited for its record for more than two minutes', async () => {
    const gate = auditGate({
      trail: emptyTrail(121),
      keys: undefined,
      after: undefined,
      deadlineMs: 1,
    });
    expect(await gate.run(signal)).toMatchObject({
      outcome: 'fail',
      reason: 'the oldest operation without a record is 121 s old',
    });
  });

  it('calls a trail that holds nothing no pass', async () => {
    const gate = auditGate({
      trail: emptyTrail(120),
      keys: undefined,
      after: undefined,
      deadlineMs: 1,
    });
    expect(await gate.run(signal)).toMatchObject({ outcome: 'inconclusive' });
  });

  it.each([
    [0, 'inconclusive', /the balances of 1 communities were not compared since sequence 1/],
    [3, 'inconclusive', /^the trail is unsigned/],
  ] as const)(
    'tells of records whose balances were never stated, with %d s of work waiting',
    async (unsealed, outcome, reason) => {
      const writer = new TrailWriter();
      writer.entry(mint(COMMUNITIES[0], 10n));
      writer.checkpoint({ balances: [] });
      const batch = { sequence: 2n, lines: writer.lines, isSigned: false, ageSeconds: 1 };
      const gate = auditGate({
        trail: {
          batchAfter: (after) => Promise.resolve(after < 2n ? batch : undefined),
          unsealedSeconds: () => Promise.resolve(unsealed),
        },
        ...{ keys: undefined, after: undefined, deadlineMs: 1 },
      });
      expect(await gate.run(signal)).toMatchObject({
        outcome,
        reason: expect.stringMatching(reason) as string,
        evidence: { uncompared: { communities: 1, since: '1' } },
      });
    },
  );
});
