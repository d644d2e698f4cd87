import { rmSync } from 'node:fs';
import { optionalEnv, optionalSecretEnv, requiredEnv, requiredSecretEnv } from '../../lib/env.ts';
import type { Done } from '../report.ts';
import { url, type Ports, type Stack } from '../stack.ts';
import { noteRealVendor, pidFileOf, runningProcess } from '../state.ts';
import type { LocalSecrets } from './secrets.ts';
import { stop } from '../stop.ts';

/** Where credits are bought. */
export interface PaymentVendor {
  readonly isFake: boolean;
  readonly label: string;
  /** What freeside is told of it. */
  readonly settings: VendorSettings;
}

type VendorSettings = Readonly<Record<string, string>> & {
  readonly NOWPAYMENTS_API_KEY: string;
  readonly NOWPAYMENTS_IPN_SECRET: string;
};

/** One of these says that a real vendor is meant. */
const NAMES = ['NOWPAYMENTS_BASE_URL', 'NOWPAYMENTS_API_KEY', 'NOWPAYMENTS_API_KEY_FILE'] as const;

/** Whether the environment names a vendor; then the fake is not started. */
export function namesVendor(): boolean {
  return NAMES.some((name) => optionalEnv(name) !== undefined);
}

/** Chooses, and ends a fake that is not wanted any more. */
export async function choosePaymentVendor(
  stack: Stack,
  secrets: LocalSecrets,
): Promise<Done<PaymentVendor>> {
  const vendor = paymentVendor(stack.ports, secrets);
  noteRealVendor(stack.folders, !vendor.isFake);
  if (!vendor.isFake) await stopFake(stack);
  return { did: vendor.label, value: vendor };
}

/**
 * The vendor that the environment names, else the fake. A half-named one is an error and never the
 * fake: nobody is to take its money for real.
 *
 * @throws EnvError that names what is missing.
 */
export function paymentVendor(ports: Ports, secrets: LocalSecrets): PaymentVendor {
  return namesVendor() ? realVendor() : fakeVendor(ports, secrets);
}

function fakeVendor(ports: Ports, secrets: LocalSecrets): PaymentVendor {
  const baseUrl = url(ports.fakeNowpayments);
  return {
    isFake: true,
    label: `the fake vendor on port ${String(ports.fakeNowpayments)}, which takes no money`,
    settings: {
      NOWPAYMENTS_BASE_URL: baseUrl,
      NOWPAYMENTS_API_KEY: secrets.vendorApiKey,
      NOWPAYMENTS_IPN_SECRET: secrets.vendorIpnSecret,
      FREESIDE_PUBLIC_URL: url(ports.freeside),
    },
  };
}

function realVendor(): PaymentVendor {
  const baseUrl = optionalEnv('NOWPAYMENTS_BASE_URL');
  const email = optionalSecretEnv('NOWPAYMENTS_EMAIL');
  const password = optionalSecretEnv('NOWPAYMENTS_PASSWORD');
  return {
    isFake: false,
    label: `NOWPayments${baseUrl === undefined ? '' : ` at ${baseUrl}`}`,
    settings: {
      NOWPAYMENTS_API_KEY: requiredSecretEnv('NOWPAYMENTS_API_KEY', 'the key of the vendor'),
      NOWPAYMENTS_IPN_SECRET: requiredSecretEnv('NOWPAYMENTS_IPN_SECRET', 'signs its notices'),
      FREESIDE_PUBLIC_URL: requiredEnv(
        'FREESIDE_PUBLIC_URL',
        'where the vendor reaches this machine',
      ),
      ...(baseUrl === undefined ? {} : { NOWPAYMENTS_BASE_URL: baseUrl }),
      ...(email === undefined ? {} : { NOWPAYMENTS_EMAIL: email }),
      ...(password === undefined ? {} : { NOWPAYMENTS_PASSWORD: password }),
    },
  };
}

async function stopFake({ folders }: Stack): Promise<void> {
  const running = await runningProcess(folders, 'fake-nowpayments');
  if (running === undefined) return;
  await stop(running);
  rmSync(pidFileOf(folders, 'fake-nowpayments'), { force: true });
}
