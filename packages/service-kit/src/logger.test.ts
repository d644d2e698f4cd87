import { describe, expect, it } from 'vitest';
import { createLogger, describeError } from './logger.ts';

type Line = Record<string, unknown>;

function capture(level: 'info' | 'error' = 'info') {
  const lines: Line[] = [];
  const destination = { write: (text: string) => void lines.push(JSON.parse(text) as Line) };
  return { lines, logger: createLogger({ service: 'svc', level, destination }) };
}

describe('a log line', () => {
  it('tells service, version, level by name and time as text', () => {
    const { lines, logger } = capture();
    logger.info('hello');
    expect(lines[0]).toMatchObject({
      service: 'svc',
      level: 'info',
      msg: 'hello',
      version: '0.1.0',
    });
    expect(lines[0]!.time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
  });

  it('is not written below the level', () => {
    const { lines, logger } = capture('error');
    logger.info('hello');
    expect(lines).toEqual([]);
  });

  it('holds no credentials where headers are usually put', () => {
    const { lines, logger } = capture();
    const headers = {
      authorization: 'planted',
      cookie: 'planted',
      'set-cookie': ['planted'],
      'x-api-key': 'planted',
    };
    logger.info({ headers, req: { headers }, res: { headers }, ...headers }, 'careless');
    expect(JSON.stringify(lines)).not.toContain('planted');
    expect(JSON.stringify(lines)).toContain('[redacted]');
  });
});

describe('an error in the log', () => {
  it('keeps type, code, message, stack and causes, and drops what hangs on it', () => {
    const error = Object.assign(new TypeError('outer', { cause: new Error('inner') }), {
      code: 'E_CODE',
      request: { headers: { authorization: 'planted' } },
    });
    const { lines, logger } = capture();
    logger.error({ err: error }, 'failed');
    expect(lines[0]!.err).toMatchObject({
      type: 'TypeError',
      code: 'E_CODE',
      message: 'outer',
      cause: { type: 'Error', message: 'inner' },
    });
    expect(JSON.stringify(lines)).not.toContain('planted');
  });

  it('is reduced under either name that one is logged by', () => {
    const { lines, logger } = capture();
    const error = Object.assign(new Error('x'), { secret: 'planted' });
    logger.error({ error }, 'failed');
    expect(lines[0]!.error).toMatchObject({ type: 'Error', message: 'x' });
    expect(JSON.stringify(lines)).not.toContain('planted');
  });

  it('may be anything, even its own cause', () => {
    const error = new Error('loop');
    error.cause = error;
    expect(JSON.stringify(describeError(error)).length).toBeLessThan(20_000);
    expect(describeError('planted')).toEqual({
      type: 'string',
      message: 'thrown value is no Error',
    });
  });
});
