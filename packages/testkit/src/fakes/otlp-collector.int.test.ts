import { expect, test } from 'vitest';
import { startOtlpCollector } from './otlp-collector.ts';

const post = (url: string, type: string, body: Buffer): Promise<Response> =>
  fetch(`${url}/v1/traces`, { method: 'POST', headers: { 'content-type': type }, body });

const field = (number: number, bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
const fixed64 = (number: number, value: bigint): Buffer => {
  const bytes = Buffer.alloc(9);
  bytes.writeUInt8((number << 3) | 1);
  bytes.writeBigUInt64LE(value, 1);
  return bytes;
};
const attribute = (key: string, value: Buffer): Buffer =>
  Buffer.concat([field(1, Buffer.from(key)), field(2, value)]);

/** By hand, so that the decoder is not checked against itself. */
function request(): Buffer {
  const span = Buffer.concat([
    field(1, Buffer.from('0af7651916cd43dd8448eb211c80319c', 'hex')),
    field(2, Buffer.from('b7ad6b7169203331', 'hex')),
    field(5, Buffer.from('work')),
    Buffer.from([(6 << 3) | 0, 2]),
    fixed64(7, 1_000n),
    fixed64(8, 3_000n),
    field(9, attribute('answer', Buffer.from([(3 << 3) | 0, 42]))),
    field(9, attribute('text', field(1, Buffer.from('hello')))),
    field(9, attribute('ready', Buffer.from([(2 << 3) | 0, 1]))),
    field(15, Buffer.from([(3 << 3) | 0, 2])),
  ]);
  const scope = field(1, field(1, Buffer.from('by hand')));
  const resource = field(1, field(1, attribute('service.name', field(1, Buffer.from('me')))));
  const scopeSpans = Buffer.concat([scope, field(2, span)]);
  const long = Buffer.concat([
    Buffer.from([0x12, (scopeSpans.length & 0x7f) | 0x80, scopeSpans.length >> 7]),
    scopeSpans,
  ]);
  const all = Buffer.concat([resource, long]);
  return Buffer.concat([Buffer.from([0x0a, (all.length & 0x7f) | 0x80, all.length >> 7]), all]);
}

test('a span is given as it was sent', async () => {
  const collector = await startOtlpCollector();
  expect((await post(collector.url, 'application/x-protobuf', request())).status).toBe(200);
  const [span] = await collector.waitForSpans((spans) => spans.length === 1);
  expect(span).toEqual({
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    parentSpanId: undefined,
    traceState: '',
    name: 'work',
    kind: 'server',
    startUnixNano: 1_000n,
    endUnixNano: 3_000n,
    attributes: { answer: 42, text: 'hello', ready: true },
    events: [],
    links: [],
    status: { code: 'error', message: '' },
    resource: { 'service.name': 'me' },
    scope: 'by hand',
  });
  collector.clear();
  collector.answerWith(503);
  expect((await post(collector.url, 'application/x-protobuf', request())).status).toBe(503);
  expect(collector.spans()).toEqual([]);
  expect(collector.rawBodies).toHaveLength(1);
  await collector.close();
});

test.each([
  ['another type', 'application/json', Buffer.from('{}')],
  ['no message', 'application/x-protobuf', Buffer.from([0x0f])],
])('an export with %s is refused, and told of at the end', async (_what, type, body) => {
  const collector = await startOtlpCollector();
  expect((await post(collector.url, type, body)).status).toBe(400);
  await expect(collector.close()).rejects.toThrow('no proper OTLP export');
});

test('waiting in vain names the spans that came', async () => {
  const collector = await startOtlpCollector();
  await post(collector.url, 'application/x-protobuf', request());
  await expect(collector.waitForSpans((spans) => spans.length > 1, 50)).rejects.toThrow('me work');
  await collector.close();
});
