import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { choosePorts, PORT_VARIABLES, type Ports } from './stack.ts';

beforeEach(() => {
  for (const name of ['PORT_OFFSET', ...Object.values(PORT_VARIABLES)]) vi.stubEnv(name, '');
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const moved = (): Ports => {
  vi.stubEnv('PORT_OFFSET', '100');
  const ports = choosePorts(undefined);
  vi.stubEnv('PORT_OFFSET', '');
  return ports;
};

describe('the ports', () => {
  it('are the ones that the documentation names', () => {
    expect(choosePorts(undefined)).toMatchObject({ freeside: 3000, finn: 3001, postgres: 15432 });
  });

  it('all differ, and stay below those that outgoing connections take', () => {
    const ports = Object.values(choosePorts(undefined));
    expect(new Set(ports).size).toBe(ports.length);
    expect(Math.max(...ports)).toBeLessThan(32_768);
  });

  it('move together by PORT_OFFSET', () => {
    expect(moved()).toMatchObject({ freeside: 3100, finn: 3101, postgres: 15_532 });
  });

  it('are remembered where the environment is silent', () => {
    const before = moved();
    expect(choosePorts(before)).toEqual(before);
  });

  it('go back when PORT_OFFSET says so', () => {
    const before = moved();
    vi.stubEnv('PORT_OFFSET', '0');
    expect(choosePorts(before).freeside).toBe(3000);
  });

  it('move one by one by their own variables, which win', () => {
    vi.stubEnv('PORT_OFFSET', '100');
    vi.stubEnv('FINN_PORT', '4000');
    expect(choosePorts(undefined)).toMatchObject({ freeside: 3100, finn: 4000 });
  });

  it.each(['70000', '0', 'abc', '-1'])('refuse %s', (value) => {
    vi.stubEnv('FREESIDE_PORT', value);
    expect(() => choosePorts(undefined)).toThrow('FREESIDE_PORT must be a whole number');
  });
});
