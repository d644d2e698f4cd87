import { describe, expect, it } from 'vitest';
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
});
