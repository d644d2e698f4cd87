import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FailureThrottle, throttleKey } from './failure-throttle.domain.ts';

const OPTIONS = { burst: 3, refillPerSecond: 0.5, maxAddresses: 4 };
const fail = (throttle: FailureThrottle, address: string, times: number, nowMs = 0): void => {
  for (let count = 0; count < times; count += 1) throttle.recordFailure(address, nowMs);
};

describe('failed attempts of one address', () => {
  it('are free up to the burst, then have to wait', () => {
    const throttle = new FailureThrottle(OPTIONS);
    fail(throttle, '192.0.2.1', 2);
    expect(throttle.retryAfterSeconds('192.0.2.1', 0)).toBe(0);
    fail(throttle, '192.0.2.1', 1);
    expect(throttle.retryAfterSeconds('192.0.2.1', 0)).toBe(2);
    expect(throttle.retryAfterSeconds('192.0.2.2', 0)).toBe(0);
  });

  it('are forgiven with time', () => {
    const throttle = new FailureThrottle(OPTIONS);
    fail(throttle, '192.0.2.1', 3);
    expect(throttle.retryAfterSeconds('192.0.2.1', 1999)).toBe(1);
    expect(throttle.retryAfterSeconds('192.0.2.1', 2000)).toBe(0);
  });

  it('that were let in together run into debt, but never deeper than one burst', () => {
    const throttle = new FailureThrottle(OPTIONS);
    fail(throttle, '192.0.2.1', 1000);
    expect(throttle.retryAfterSeconds('192.0.2.1', 0)).toBe(8);
  });

  it('are remembered for a bounded number of addresses', () => {
    const throttle = new FailureThrottle(OPTIONS);
    for (let host = 0; host < 100; host += 1) fail(throttle, `192.0.2.${host}`, 3);
    expect(throttle.size).toBe(4);
    expect(throttle.retryAfterSeconds('192.0.2.99', 0)).toBeGreaterThan(0);
    expect(throttle.retryAfterSeconds('192.0.2.1', 0)).toBe(0);
  });

  it('after the announced wait are let in again, whatever happened before', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5000), { maxLength: 50 }), (pauses) => {
        const throttle = new FailureThrottle(OPTIONS);
        let nowMs = 0;
        for (const pause of pauses) {
          throttle.recordFailure('a', nowMs);
          nowMs += pause;
        }
        const waitMs = throttle.retryAfterSeconds('a', nowMs) * 1000;
        expect(throttle.retryAfterSeconds('a', nowMs + waitMs)).toBe(0);
      }),
    );
  });
});

describe('one address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:0001:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001::5:6:7:8:9:a', '2001:0:5:6::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ])('%s counts as %s', (address, key) => {
    expect(throttleKey(address)).toBe(key);
  });
});
