import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { runScript, say } from './lib/entry.ts';
import { optionalEnv, requiredSecretEnv } from './lib/env.ts';

/** Buys a pack end to end at the fake vendor and shows the balance before and after. */

const DEADLINE_MS = 15_000;
const POLL_MS = 200;

interface Payment {
  readonly id: string;
  readonly status: string;
  readonly checkoutUrl: string;
}

class Api {
  readonly #url: string;
  readonly #key: string;

  constructor(url: string, key: string) {
    this.#url = url;
    this.#key = key;
  }

  async balance(): Promise<string> {
    return ((await this.#call('/api/v1/balance')) as { available: string }).available;
  }

  buy(pack: string): Promise<Payment> {
    return this.#call('/api/v1/payments', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
      body: JSON.stringify({ pack }),
    }) as Promise<Payment>;
  }

  /** Waits for a status that is not on its way. */
  async finalStatus(id: string): Promise<string> {
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      const { status } = (await this.#call(`/api/v1/payments/${id}`)) as Payment;
      if (['finished', 'failed', 'expired'].includes(status)) return status;
      if (performance.now() > deadline) throw new Error(`the payment is still ${status}`);
      await delay(POLL_MS);
    }
  }

  async #call(path: string, init: RequestInit = {}): Promise<unknown> {
    const headers = { ...(init.headers as object), authorization: `Bearer ${this.#key}` };
    const response = await fetch(`${this.#url}${path}`, { ...init, headers });
    if (response.ok) return response.json();
    const { code, detail } = (await response.json()) as { code: string; detail?: string };
    throw new Error(`${path} answered ${response.status} ${code}: ${detail ?? ''}`);
  }
}

await runScript('demo-purchase', async () => {
  const [pack = 'standard'] = process.argv.slice(2);
  const api = new Api(
    optionalEnv('FREESIDE_URL') ?? 'http://127.0.0.1:3000',
    requiredSecretEnv('API_KEY', 'an API key of the community that buys'),
  );
  say(`balance  ${await api.balance()} micro-credits`);
  const payment = await api.buy(pack);
  say(`payment  ${payment.id} (${payment.status})`);
  say(`checkout ${payment.checkoutUrl}`);
  const paid = await fetch(payment.checkoutUrl, {
    method: 'POST',
    body: new URLSearchParams({ action: 'pay' }),
  });
  if (!paid.ok) throw new Error(`the checkout page answered ${paid.status}`);
  say(`paid     the status is ${await api.finalStatus(payment.id)}`);
  say(`balance  ${await api.balance()} micro-credits`);
});
