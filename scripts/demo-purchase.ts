import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { runScript, say } from './lib/entry.ts';
import { flagEnv, optionalEnv, requiredSecretEnv } from './lib/env.ts';
import { PlainError } from './lib/plain-error.ts';

/**
 * Buys a pack end to end: asks for the payment, presses the button of the fake vendor's checkout page,
 * and shows the payment's life and the balance before and after.
 */

const DEADLINE_MS = 30_000;
const POLL_MS = 100;

/** What is shown of the answers; amounts in micro-credits. */
interface Pack {
  readonly id: string;
  readonly price: string;
  readonly credits: string;
  readonly bonus: string;
}
interface Payment {
  readonly id: string;
  readonly status: string;
  readonly inReview: boolean;
  readonly debt: string;
  readonly checkoutUrl: string;
}
interface Balance {
  readonly available: string;
  readonly debt?: string;
}

class Api {
  readonly #url: string;
  readonly #key: string;

  constructor(url: string, key: string) {
    this.#url = url;
    this.#key = key;
  }

  balance(): Promise<Balance> {
    return this.#call('/api/v1/balance');
  }

  async pack(id: string): Promise<Pack> {
    const { packs } = await this.#call<{ packs: readonly Pack[] }>('/api/v1/credit-packs');
    const pack = packs.find((one) => one.id === id);
    if (pack !== undefined) return pack;
    throw new PlainError(`There is no pack ${id}.`, [
      `Choose from: ${packs.map((one) => one.id).join(', ')}`,
    ]);
  }

  buy(pack: string): Promise<Payment> {
    return this.#call('/api/v1/payments', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
      body: JSON.stringify({ pack }),
    });
  }

  payment(id: string): Promise<Payment> {
    return this.#call(`/api/v1/payments/${id}`);
  }

  async #call<T>(path: string, init: RequestInit = {}): Promise<T> {
    const headers = { ...(init.headers as object), authorization: `Bearer ${this.#key}` };
    const response = await fetch(`${this.#url}${path}`, { ...init, headers });
    if (response.ok) return (await response.json()) as T;
    const { code, detail = '' } = (await response.json()) as { code: string; detail?: string };
    throw new PlainError(`${path} answered ${String(response.status)} ${code}: ${detail}`);
  }
}

await runScript('demo-purchase', async () => {
  const [name = 'standard', ...rest] = process.argv.slice(2);
  if (rest.length > 0) throw new PlainError('Say one pack: starter, standard or premium.');
  const api = new Api(
    optionalEnv('FREESIDE_URL') ?? 'http://127.0.0.1:3000',
    requiredSecretEnv('API_KEY', 'an API key of the community that buys'),
  );
  const pack = await api.pack(name);
  line('pack', `${pack.id}: ${dollars(pack.price)} for ${credits(pack.credits)}${bonusOf(pack)}`);
  await showBalance(api);
  const payment = await api.buy(pack.id);
  line('payment', payment.id);
  line('checkout', payment.checkoutUrl);
  await press(payment.checkoutUrl);
  await follow(api, payment);
  await showBalance(api);
  sayWhatNext(payment);
});

/** The customer opens the page and pays. */
async function press(checkoutUrl: string): Promise<void> {
  const page = await fetch(checkoutUrl);
  if (!(await page.text()).includes('this is a fake')) {
    throw new PlainError('This checkout page is not the fake vendor’s: open it, and pay by hand.');
  }
  const paid = await fetch(checkoutUrl, {
    method: 'POST',
    body: new URLSearchParams({ action: 'pay' }),
  });
  if (!paid.ok) throw new PlainError(`The checkout page answered ${String(paid.status)}.`);
}

/** Tells each status that the API shows, up to the last. */
async function follow(api: Api, payment: Payment): Promise<void> {
  const startedMs = performance.now();
  for (let told = ''; ;) {
    const { status, inReview } = await api.payment(payment.id);
    if (status !== told) line('status', status);
    told = status;
    if (['finished', 'failed', 'expired'].includes(status)) return;
    if (inReview) {
      throw new PlainError('The payment waits for a person.', [`Look at it: ${show(payment)}`]);
    }
    if (performance.now() - startedMs > DEADLINE_MS) {
      throw new PlainError(`The payment is still ${status}.`, [`Look at it: ${show(payment)}`]);
    }
    await delay(POLL_MS);
  }
}

async function showBalance(api: Api): Promise<void> {
  const { available, debt = '0' } = await api.balance();
  const owed = debt === '0' ? '' : `, ${credits(debt)} owed`;
  line('balance', `${credits(available)}${owed}`);
}

function sayWhatNext(payment: Payment): void {
  say('');
  say('Next:');
  say(`  open the checkout page in a browser: it can refund the payment, or pay it once more`);
  say(`    ${payment.checkoutUrl}`);
  say(`  what happened to it:        ${show(payment)}`);
  say(`  what waits for a person:    ${tool('list')}`);
}

function show({ id }: Payment): string {
  return tool(`show ${id}`);
}

/** As the reader would type it. */
function tool(args: string): string {
  return flagEnv('ARRAKIS_MAKE') ? `make payments A='${args}'` : `node scripts/payments.ts ${args}`;
}

function line(what: string, text: string): void {
  say(`${what.padEnd(9)} ${text}`);
}

function bonusOf({ bonus }: Pack): string {
  return bonus === '0' ? '' : `, ${credits(bonus)} of them as a bonus`;
}

function credits(micro: string): string {
  return `${micro} micro-credits`;
}

/** Of micro-dollars; a pack costs whole cents. */
function dollars(micro: string): string {
  const digits = micro.padStart(7, '0');
  return `$${digits.slice(0, -6)}.${digits.slice(-6, -4)}`;
}
