import { createLogger, createRegistry } from '@arrakis/service-kit';
import { describe, expect, it } from 'vitest';
import { createAuditEvents } from './events.ts';

const MINUTE_MS = 60_000;

function capture() {
  const noted: unknown[] = [];
  const destination = {
    write(text: string) {
      const { msg, sequence } = JSON.parse(text) as { msg: string; sequence: string };
      if (msg === 'audit checkpoint was signed') noted.push(sequence);
    },
  };
  const logger = createLogger({ service: 'test', level: 'info', destination });
  let nowMs = 0;
  const events = createAuditEvents(createRegistry('test'), logger, () => nowMs);
  /** A check at that minute, which signed that checkpoint or nothing. */
  const checkedAt = (minute: number, sequence?: bigint): void => {
    nowMs = minute * MINUTE_MS;
    const head = { sequence: sequence ?? 99n, hash: 'ab'.repeat(32) };
    const signed = sequence === undefined ? undefined : { ...head, kid: 'key' };
    events.checked({ began: undefined, head, finding: undefined, signed });
  };
  return { noted, checkedAt };
}

describe('signed heads in the log', () => {
  it('are the first at once, and then the newest every quarter of an hour', () => {
    const { noted, checkedAt } = capture();
    checkedAt(0);
    checkedAt(1, 2n);
    checkedAt(2, 4n);
    checkedAt(15, 6n);
    expect(noted).toEqual(['2']);
    checkedAt(16);
    expect(noted).toEqual(['2', '6']);
    checkedAt(40);
    expect(noted).toEqual(['2', '6']);
    checkedAt(41, 8n);
    expect(noted).toEqual(['2', '6', '8']);
  });
});
