import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  PAYMENT_STATUSES,
  STATUS_RANK,
  TRANSITIONS,
  diagramOf,
  isSettled,
} from './payment-state.domain.ts';

const DOCUMENT = resolve(import.meta.dirname, '../../../../../docs/state-machines/payment.md');

describe('the life of a payment', () => {
  it('only ever goes up in rank', () => {
    for (const from of PAYMENT_STATUSES) {
      for (const to of TRANSITIONS[from]) {
        expect(STATUS_RANK[to], `${from} to ${to}`).toBeGreaterThan(STATUS_RANK[from]);
      }
    }
    expect(STATUS_RANK).toEqual({
      waiting: 0,
      confirming: 1,
      confirmed: 2,
      sending: 3,
      partially_paid: 4,
      finished: 5,
      failed: 5,
      expired: 5,
      refunded: 6,
    });
  });

  it('is refunded after it has finished, and never else', () => {
    const before = PAYMENT_STATUSES.filter((from) => TRANSITIONS[from].includes('refunded'));
    expect(before).toEqual(['finished']);
  });

  it('fails or expires from whatever has not ended', () => {
    for (const from of PAYMENT_STATUSES) {
      const mayEnd = TRANSITIONS[from].includes('failed') && TRANSITIONS[from].includes('expired');
      expect(mayEnd, from).toBe(!isSettled(from));
    }
  });

  it('is drawn in the documentation as it is in the table', () => {
    const drawn = /```mermaid\n([\s\S]*?)\n```/.exec(readFileSync(DOCUMENT, 'utf8'))?.[1];
    expect(drawn).toBe(diagramOf(TRANSITIONS));
  });
});
