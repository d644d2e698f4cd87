import { createServer, request as forward } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startFakeNowPayments, type FakeNowPayments } from '@arrakis/testkit';
import type { Canaries } from './canaries.ts';
import { spring, type TrapMode } from './vendor-trap.ts';

/** The payment vendor, with something planted in every secret, and a door that can be a trap. */
export interface PaymentVendor {
  readonly fake: FakeNowPayments;
  readonly ipnSecret: string;
  /** What freeside is told of it. */
  readonly env: Readonly<Record<string, string>>;
  /** Every call from now on walks into the trap; `undefined` opens the door again. */
  arm(mode: TrapMode | undefined): void;
  close(): Promise<void>;
}

export async function startPaymentVendor(
  canaries: Canaries,
  publicUrl: string,
): Promise<PaymentVendor> {
  const secret = (name: string): string => canaries.text(`payment vendor: ${name}`, 'secret');
  const apiKey = secret('API key');
  const ipnSecret = secret('IPN secret');
  const account = { email: secret('e-mail'), password: secret('password') };
  const bait = secret('bait');
  // Of every payment of the fake.
  canaries.plant('pay address', 'secret', 'TVZ9nJvFAUKGwM3PLoCmRBm4nk5p8LxVEx');
  const fake = await startFakeNowPayments({ apiKey, ipnSecret, account });
  let armed: TrapMode | undefined;
  const door = createServer((incoming, answer) => {
    if (armed !== undefined) {
      incoming.resume();
      spring(armed, bait, answer);
      return;
    }
    const { method, headers, url = '/' } = incoming;
    const options = { ...(method === undefined ? {} : { method }), headers };
    const onward = forward(fake.url + url, options, (reply) => {
      answer.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  return {
    fake,
    ipnSecret,
    env: {
      NOWPAYMENTS_BASE_URL: `http://127.0.0.1:${String((door.address() as AddressInfo).port)}`,
      NOWPAYMENTS_API_KEY: apiKey,
      NOWPAYMENTS_IPN_SECRET: ipnSecret,
      NOWPAYMENTS_EMAIL: account.email,
      NOWPAYMENTS_PASSWORD: account.password,
      FREESIDE_PUBLIC_URL: publicUrl,
    },
    arm: (mode) => {
      armed = mode;
    },
    async close() {
      const closed = new Promise<void>((resolve) => door.close(() => resolve()));
      door.closeAllConnections();
      await Promise.all([closed, fake.close()]);
    },
  };
}
