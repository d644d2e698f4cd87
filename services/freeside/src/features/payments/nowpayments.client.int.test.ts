import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import { afterEach, describe, expect, it } from 'vitest';
import { createPaymentEvents } from './events.ts';
import { NowPaymentsClient } from './nowpayments.client.ts';

let server: Server | undefined;
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => server?.close(resolve));
});

async function clientOf(listener: RequestListener) {
  const listening = createServer(listener);
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const { port } = listening.address() as AddressInfo;
  const registry = createRegistry('test');
  const client = new NowPaymentsClient({
    baseUrl: `http://127.0.0.1:${String(port)}`,
    apiKey: 'k',
    account: { email: 'e', password: 'p' },
    timeoutMs: 20_000,
    events: createPaymentEvents(registry, createLogger({ service: 'test', level: 'silent' })),
  });
  /** Calls that were counted, as `create_invoice ok`. */
  const counted = async (): Promise<string[]> => {
    const metric = await registry.getSingleMetric('freeside_payment_vendor_calls_total')?.get();
    return (metric?.values ?? [])
      .filter(({ value }) => value > 0)
      .map(({ labels, value }) => `${String(labels.call)} ${String(labels.outcome)} ${value}`);
  };
  return { client, counted };
}

const ORDER = { orderId: 'o', description: 'd', priceMicro: 5_000_000n, callbackUrl: 'http://x/' };

describe('the vendor’s client', () => {
  it('stops reading an answer that is too long, however long it would be', async () => {
    let sent = 0;
    const { client, counted } = await clientOf((_request, response) => {
      const part = Buffer.alloc(64 * 1024, ' ');
      const write = (): void => {
        while (!response.destroyed) {
          sent += part.length;
          if (!response.write(part)) break;
        }
      };
      response.on('drain', write);
      write();
    });
    await expect(client.getPayment('1')).rejects.toMatchObject({ outcome: 'unavailable' });
    // What lay in buffers beside the four megabytes.
    expect(sent).toBeLessThan(64_000_000);
    expect(await counted()).toEqual(['get_payment unavailable 1']);
  });

  it.each(['{}', '{"id":"1"}', '{"id":"1","invoice_url":"javascript:1"}', 'no JSON'])(
    'counts an invoice of no use once: %s',
    async (body) => {
      const { client, counted } = await clientOf((_request, response) => response.end(body));
      await expect(client.createInvoice(ORDER)).rejects.toMatchObject({ outcome: 'unavailable' });
      expect(await counted()).toEqual(['create_invoice unavailable 1']);
    },
  );

  it('counts a sign-in without a token as refused, once', async () => {
    const { client, counted } = await clientOf((_request, response) => response.end('{}'));
    const listing = client.listPayments({ since: new Date(0), page: 0, limit: 1 });
    await expect(listing).rejects.toMatchObject({ outcome: 'refused' });
    expect(await counted()).toEqual(['list_payments refused 1']);
  });

  it('counts what it could use', async () => {
    const { client, counted } = await clientOf((_request, response) =>
      response.end('{"id":17,"invoice_url":"https://pay.example/17"}'),
    );
    expect(await client.createInvoice(ORDER)).toEqual({
      invoiceId: '17',
      checkoutUrl: 'https://pay.example/17',
    });
    expect(await counted()).toEqual(['create_invoice ok 1']);
  });

  it.each([
    [404, {}, undefined],
    [429, { 'retry-after': '7' }, { outcome: 'busy', retryAfterSeconds: 7 }],
    [500, {}, { outcome: 'unavailable' }],
    [401, {}, { outcome: 'refused' }],
  ])('reads no body beside the status %d', async (status, headers, error) => {
    const { client } = await clientOf((_request, response) => {
      response.writeHead(status, headers);
      // Never ends.
      response.write('{');
    });
    const asked = client.getPayment('1');
    if (error === undefined) expect(await asked).toBeUndefined();
    else await expect(asked).rejects.toMatchObject(error);
  });
});
