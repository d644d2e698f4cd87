import { describe, expect, it } from 'vitest';
import { formatLogLine } from './log-format.ts';

const TIME = '2026-11-22T08:00:27.351Z';

describe('a log line for people', () => {
  it('shows time, level, message and the fields that say more', () => {
    const line = JSON.stringify({
      level: 'info',
      time: TIME,
      service: 'finn',
      pid: 1,
      status: 200,
      route: '/v1/x',
      msg: 'request',
    });
    expect(formatLogLine(line)).toBe('08:00:27.351 INFO  request status=200 route=/v1/x');
  });

  it("understands pino's numbers", () => {
    const line = JSON.stringify({ level: 50, time: Date.parse(TIME), msg: 'x' });
    expect(formatLogLine(line)).toBe('08:00:27.351 ERROR x');
  });

  it('shows what an error says, not its stack', () => {
    const err = { message: 'connection refused', stack: 'Error: …\n at a\n at b' };
    const line = JSON.stringify({ level: 'warn', time: TIME, err, msg: 'failed' });
    expect(formatLogLine(line)).toBe('08:00:27.351 WARN  failed err="connection refused"');
  });

  it.each(['plain text', '{broken', '{"a":', ''])('leaves %j as it is', (line) => {
    expect(formatLogLine(line)).toBe(line);
  });
});
