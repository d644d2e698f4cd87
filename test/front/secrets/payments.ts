import { randomUUID } from 'node:crypto';
import { signNotice, waitFor, type VendorPayment } from '@arrakis/testkit';
import type { Answer, Ask } from './client.ts';
import type { Stage } from './stage.ts';
import type { Scene, Talker } from './traffic.ts';
import { TRAP_MODES } from './vendor-trap.ts';

const PAYMENTS = '/api/v1/payments';
export const WEBHOOK = '/api/crypto/webhook';
const JSON_TYPE = { 'content-type': 'application/json' };

/** Credits bought, paid in every way, taken back, and told of by notices that say too much. */
export async function sellCredits(scene: Scene): Promise<void> {
  const { talker } = scene;
  const paid = await pay(scene, 'standard');
  await payOtherwise(scene);
  await tellTooMuch(scene, paid);
  await forge(scene, paid);
  await askBadly(scene);
  await failToInvoice(scene);
  await operate(scene, paid);
  await talker.say({ path: PAYMENTS });
}

/** A purchase with a key of its own, which is kept, and so is none of ours to hide. */
export function purchase(pack: string): Ask {
  const headers = { 'idempotency-key': randomUUID() };
  return { path: PAYMENTS, headers, body: JSON.stringify({ pack }) };
}

/** Says `request` with the noise that every request has, but for its own headers. */
async function buy({ talker }: Scene, pack: string): Promise<{ id: string; invoice: string }> {
  const { headers = {}, ...request } = purchase(pack);
  const { status, text } = await talker.say(request, headers);
  if (status !== 201) throw new Error(`nothing was bought: ${text}`);
  const body = JSON.parse(text.slice(text.indexOf('\n\n'))) as { id: string; checkoutUrl: string };
  return { id: body.id, invoice: new URL(body.checkoutUrl).searchParams.get('iid') ?? '' };
}

interface Sale {
  readonly id: string;
  readonly atVendor: VendorPayment;
}

async function open(scene: Scene, pack: string): Promise<Sale> {
  const { id, invoice } = await buy(scene, pack);
  return { id, atVendor: scene.stage.payments.fake.openPayment(invoice) };
}

async function becomes({ talker }: Scene, { id }: Sale, sign: string): Promise<void> {
  await waitFor(async () => (await talker.say({ path: `${PAYMENTS}/${id}` })).text.includes(sign), {
    timeoutMs: 20_000,
    what: `${sign} of a payment`,
  });
}

async function pay(scene: Scene, pack: string): Promise<Sale> {
  const sale = await open(scene, pack);
  scene.stage.payments.fake.act(sale.atVendor, 'pay');
  await becomes(scene, sale, '"status":"finished"');
  return sale;
}

async function payOtherwise(scene: Scene): Promise<void> {
  const { fake } = scene.stage.payments;
  const half = await open(scene, 'starter');
  fake.act(half.atVendor, 'underpay');
  await becomes(scene, half, '"inReview":true');
  const late = await open(scene, 'starter');
  fake.act(late.atVendor, 'expire');
  await becomes(scene, late, '"status":"expired"');
  const back = await pay(scene, 'starter');
  fake.act(back.atVendor, 'refund');
  await becomes(scene, back, '"status":"refunded"');
  const twice = await pay(scene, 'starter');
  fake.act(twice.atVendor, 'repeat');
  await becomes(scene, twice, '"inReview":true');
}

function notice({ id }: { readonly id: string }, change: object): object {
  return {
    payment_id: 6_100_000_000 + Math.floor(Math.random() * 1e8),
    payment_status: 'waiting',
    price_amount: 5,
    price_currency: 'usd',
    order_id: id,
    ...change,
  };
}

function tell({ talker }: Scene, body: string, headers: Record<string, string>): Promise<Answer> {
  // From many addresses, or they would soon be throttled.
  const octet = (): string => String(1 + Math.floor(Math.random() * 250));
  const from = { 'x-forwarded-for': `10.${octet()}.${octet()}.${octet()}` };
  return talker.say({ path: WEBHOOK, body }, { ...JSON_TYPE, ...from, ...headers });
}

/** Rightly signed, with what the vendor knows of a person, and more: nothing of it is to be kept. */
async function tellTooMuch(scene: Scene, paid: Sale): Promise<void> {
  const { canaries, payments } = scene.stage;
  const said = (name: string): string => canaries.text(`notice: ${name}`, 'secret');
  const wallet = (name: string): string => canaries.wallet(`notice: ${name}`, 'secret');
  const person = (where: string) => ({
    pay_address: wallet(`pay address, ${where}`),
    payin_hash: said(`payin hash, ${where}`),
    payout_hash: said(`payout hash, ${where}`),
    payin_extra_id: said(`memo, ${where}`),
    order_description: said(`description, ${where}`),
    customer_email: said(`e-mail, ${where}`),
    [said(`name of a member, ${where}`)]: { deep: [{ wallet: wallet(`deep, ${where}`) }] },
  });
  const { id } = await open(scene, 'starter');
  const bodies = [
    notice({ id }, person('bound')),
    notice({ id }, { ...person('unknown status'), payment_status: 'wrong_asset_confirmed' }),
    notice(paid, { ...person('second'), payment_status: 'finished', pay_amount: 1 }),
    notice({ id: randomUUID() }, person('unbound')),
    notice({ id }, { ...person('malformed'), price_amount: 'much' }),
    notice({ id }, { ...person('no id'), payment_id: {} }),
    [person('list')],
  ];
  for (const body of bodies) {
    const signature = signNotice(body, payments.ipnSecret);
    await tell(scene, JSON.stringify(body), { 'x-nowpayments-sig': signature });
  }
}

/** Signed by nobody: whatever it says, it is not even looked at closely. */
async function forge(scene: Scene, paid: Sale): Promise<void> {
  const { canaries } = scene.stage;
  const said = (name: string): string => canaries.text(`forged: ${name}`, 'client');
  const names = ['payment_id', 'payment_status', 'price_amount', 'price_currency', 'order_id'];
  const bodies = [
    ...names.map((name) => JSON.stringify(notice(paid, { [name]: said(name) }))),
    `{"pay_address":"${canaries.wallet('forged address')}"`,
    `{"a":"${said('first')}","a":"${said('second')}"}`,
    `{"__proto__":"${said('prototype')}"}`,
    said('no JSON'),
    `{"${said('number')}":01}`,
    `{"large":"${said('large')}${'x'.repeat(20_000)}"}`,
  ];
  for (const body of bodies) {
    await tell(scene, body, {});
    await tell(scene, body, { 'x-nowpayments-sig': said('signature') });
  }
  const good = JSON.stringify(notice(paid, {}));
  await tell(scene, good, { 'content-type': `text/plain; x=${said('content type')}` });
  await tell(scene, good, { 'content-encoding': said('content encoding') });
}

async function askBadly({ talker, stage }: Scene): Promise<void> {
  const said = (name: string): string => stage.canaries.text(`payments: ${name}`, 'client');
  const own = { 'idempotency-key': randomUUID() };
  const bodies = [
    `{"pack":"${said('pack').slice(0, 31)}"}`,
    `{"pack":{"a":"${said('pack as object')}"}}`,
    `{"pack":"starter","unknown":"${said('unknown value')}"}`,
    `{"pack":"${said('long pack')}"}`,
    `{"pack":"${said('cut')}`,
  ];
  for (const body of bodies) await talker.say({ path: PAYMENTS, body }, own);
  // With the noise of every request, whose idempotency key is too long for one.
  const long = { 'idempotency-key': `${said('idempotency key')}${'x'.repeat(200)}` };
  await talker.say({ path: PAYMENTS, body: '{"pack":"starter"}' }, long);
  const paths = [
    `${PAYMENTS}?cursor=${said('cursor')}`,
    `${PAYMENTS}?limit=${said('limit')}`,
    `${PAYMENTS}?unknown=${said('query')}`,
    `${PAYMENTS}/${said('id')}`,
    `${PAYMENTS}/${stage.canaries.wallet('id of a payment')}`,
    `${PAYMENTS}/${said('long id')}${'x'.repeat(300)}`,
    `/api/v1/credit-packs?k=${said('packs')}`,
    `${WEBHOOK}?k=${said('webhook')}`,
    `${WEBHOOK}/${said('below the webhook')}`,
  ];
  for (const path of paths) await talker.say({ path });
}

/** The vendor answers in every way that it should not, with something to leak in each. */
async function failToInvoice({ talker, stage }: Scene): Promise<void> {
  for (const mode of TRAP_MODES) {
    stage.payments.arm(mode);
    const { headers = {}, ...request } = purchase('starter');
    await talker.say(request, headers);
  }
  stage.payments.arm(undefined);
  stage.payments.fake.fail({ kind: 'status', status: 429, retryAfterSeconds: 3 });
  const { headers = {}, ...request } = purchase('starter');
  await talker.say(request, headers);
}

/** What an operator sees, who has the database's password and no need for more. */
async function operate({ stage }: Scene, { id }: Sale): Promise<void> {
  const payments = (...args: string[]): Promise<string> =>
    stage.command('scripts/payments.ts', args);
  await payments('list', 'all');
  const shown = await payments('show', id);
  const [, delivery = '1'] = /delivery +(\d+)/.exec(shown) ?? [];
  await payments('replay', delivery);
  await payments('resolve', id, '--as', 'refund', '--operator', 'chani', '--reason', 'asked for');
  await stage.command('scripts/audit.ts', ['export']);
}

/** For while things are broken. */
export function askAboutPayments(talker: Talker, stage: Stage): Promise<Answer>[] {
  const { headers = {}, ...request } = purchase('starter');
  const body = notice({ id: randomUUID() }, { pay_address: stage.canaries.wallet('outage') });
  const signature = signNotice(body, stage.payments.ipnSecret);
  return [
    talker.say(request, headers),
    talker.say({ path: PAYMENTS }),
    tell({ talker, stage }, JSON.stringify(body), { 'x-nowpayments-sig': signature }),
  ];
}
