import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { choosePorts, PORT_VARIABLES } from '../stack.ts';
import { paymentVendor } from './payment-vendor.ts';

const REAL = {
  NOWPAYMENTS_BASE_URL: 'https://vendor.example',
  NOWPAYMENTS_API_KEY: 'real-key',
  NOWPAYMENTS_IPN_SECRET: 'real-secret',
  FREESIDE_PUBLIC_URL: 'https://shop.example',
};
const FILES = ['NOWPAYMENTS_API_KEY_FILE', 'NOWPAYMENTS_IPN_SECRET_FILE'];
const SECRETS = {
  apiKeyPepper: '1:p',
  migratorPassword: 'm',
  freesidePassword: 'f',
  finnPassword: 'n',
  vendorApiKey: 'fake-key',
  vendorIpnSecret: 'fake-secret',
};

beforeEach(() => {
  for (const name of [...Object.keys(REAL), ...FILES, ...Object.values(PORT_VARIABLES)]) {
    vi.stubEnv(name, '');
  }
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const choose = (env: Readonly<Record<string, string>>) => {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  return paymentVendor(choosePorts(undefined), SECRETS);
};

describe('the payment vendor', () => {
  it('is the fake where the environment names none', () => {
    const { isFake, settings } = choose({ FREESIDE_PUBLIC_URL: 'https://shop.example' });
    expect(isFake).toBe(true);
    expect(settings).toEqual({
      NOWPAYMENTS_BASE_URL: 'http://127.0.0.1:18080',
      NOWPAYMENTS_API_KEY: 'fake-key',
      NOWPAYMENTS_IPN_SECRET: 'fake-secret',
      FREESIDE_PUBLIC_URL: 'http://127.0.0.1:3000',
    });
  });

  it('is the one that the environment names, with nothing of the fake', () => {
    const { isFake, settings, label } = choose(REAL);
    expect(isFake).toBe(false);
    expect(settings).toEqual(REAL);
    expect(label).not.toContain('real-key');
  });

  it.each([
    [['NOWPAYMENTS_BASE_URL'], 'NOWPAYMENTS_API_KEY'],
    [['NOWPAYMENTS_API_KEY'], 'NOWPAYMENTS_IPN_SECRET'],
    [['NOWPAYMENTS_API_KEY', 'NOWPAYMENTS_IPN_SECRET'], 'FREESIDE_PUBLIC_URL'],
  ])('is not the fake where only %j is set: %s is missed', (names, missed) => {
    const half = Object.entries(REAL).filter(([name]) => names.includes(name));
    expect(() => choose(Object.fromEntries(half))).toThrow(missed);
  });
});
