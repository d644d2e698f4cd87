import { randomBytes } from 'node:crypto';
import { startOtlpCollector, waitFor, type OtlpCollector } from '@arrakis/testkit';
import { ATTRIBUTES, SPAN_NAMES } from '@arrakis/telemetry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, drift, MODELS, receiptOf, type Platform } from '../e2e/support/platform.ts';
import { ask, askSlowly, loadedBy, named, SERVICES, startAll, treeOf } from './support.ts';

const CLIENT_SPAN = 'b7ad6b7169203331';

const newTrace = (): string => randomBytes(16).toString('hex');
const traceparent = (traceId: string, flags: '00' | '01'): string =>
  `00-${traceId}-${CLIENT_SPAN}-${flags}`;

let collector: OtlpCollector;
let platform: Platform;

afterAll(async () => {
  await collector.close();
});
beforeAll(async () => {
  collector = await startOtlpCollector();
});

/** What the fake vendor was sent last. */
function vendorHeaders(): Readonly<Record<string, string | string[] | undefined>> {
  return platform.vendor.requests.findLast(({ method }) => method === 'POST')?.headers ?? {};
}

describe('with every trace sampled', () => {
  beforeAll(async () => {
    platform = await startAll({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_TRACES_SAMPLER_ARG: '1',
    });
  });
  afterAll(async () => {
    expect(await drift(platform)).toEqual([]);
    await platform.stop();
  });

  it('one request is one connected trace from the client to the model and to the books', async () => {
    const traceId = newTrace();
    const { requestId } = await ask(platform, {
      traceparent: traceparent(traceId, '00'),
      tracestate: 'congo=t61rcWkgMzE',
      baggage: 'userId=alice',
    });
    const spans = await collector.waitForSpans(
      (all) => Object.keys(treeOf(all, traceId)).length >= 10,
    );
    const server = 'freeside-api server POST /v1/chat/completions';
    const finn = 'finn server POST /api/v1/inference';
    expect(treeOf(spans, traceId)).toEqual({
      [server]: CLIENT_SPAN,
      'freeside-api internal ledger hold': server,
      'freeside-api client POST': server,
      'freeside-api internal ledger settle': server,
      [finn]: 'freeside-api client POST',
      'finn internal verify token': finn,
      'finn internal provider answer': finn,
      'finn client POST': 'finn internal provider answer',
      'finn producer publish usage': finn,
      'freeside-worker consumer process usage': 'finn producer publish usage',
    });
    const toVendor = named(spans, traceId, 'finn', 'POST');
    const { traceparent: sent, tracestate, baggage } = vendorHeaders();
    expect(sent).toBe(`00-${traceId}-${toVendor?.spanId ?? ''}-01`);
    expect([tracestate, baggage]).toEqual([undefined, undefined]);

    const top = named(spans, traceId, 'freeside-api', 'POST /v1/chat/completions');
    expect(top?.attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/v1/chat/completions',
      'http.response.status_code': 200,
      'arrakis.request_id': requestId,
      'arrakis.outcome': 'answered',
      'arrakis.pool': 'cheap',
      'arrakis.time_to_first_token_ms': expect.any(Number) as number,
      'gen_ai.usage.output_tokens': 6,
    });
    expect(named(spans, traceId, 'finn', 'provider answer')?.attributes).toEqual({
      'arrakis.pool': 'cheap',
      'arrakis.target': 'fake-cheap',
      'arrakis.outcome': 'completed',
      'gen_ai.request.model': MODELS.cheap,
    });
    expect(spans.every(({ traceState }) => traceState === '')).toBe(true);
    for (const service of ['api', 'finn'] as const) {
      await waitFor(() =>
        platform.services[service]
          .logs()
          .some((line) => line.msg === 'request' && line.trace_id === traceId),
      );
    }
  });

  it('a body that comes after its headers belongs to the same trace', async () => {
    const traceId = newTrace();
    expect(await askSlowly(platform, { traceparent: traceparent(traceId, '00') })).toBe(200);
    const spans = await collector.waitForSpans(
      (all) => named(all, traceId, 'freeside-api', 'POST /v1/chat/completions') !== undefined,
    );
    const tree = treeOf(spans, traceId);
    expect(tree['freeside-api internal ledger hold']).toBe(
      'freeside-api server POST /v1/chat/completions',
    );
  });

  it('what is refused says so, and goes no further', async () => {
    const traceId = newTrace();
    const response = await call(
      platform,
      '/api/v1/inference',
      { nft_id: 'nobody', prompt: 'Hi' },
      { headers: { traceparent: traceparent(traceId, '01') } },
    );
    expect(response.status).toBe(404);
    const spans = await collector.waitForSpans(
      (all) => Object.keys(treeOf(all, traceId)).length > 0,
    );
    expect(treeOf(spans, traceId)).toEqual({
      'freeside-api server POST /api/v1/inference': CLIENT_SPAN,
    });
    const span = named(spans, traceId, 'freeside-api', 'POST /api/v1/inference');
    expect(span?.status.code).toBe('unset');
    expect(span?.attributes).toMatchObject({
      'http.response.status_code': 404,
      'arrakis.outcome': 'agent_not_found',
    });
  });

  it('an answer that the vendor cuts ends as an error on the whole way', async () => {
    const traceId = newTrace();
    platform.vendor.script(MODELS.cheap, { steps: ['One', ' two', { cut: true }] }, {});
    await ask(platform, { traceparent: traceparent(traceId, '00') });
    const spans = await collector.waitForSpans((all) =>
      [
        ['freeside-api', 'POST /v1/chat/completions'],
        ['finn', 'POST /api/v1/inference'],
        ['finn', 'provider answer'],
      ].every(([service = '', name = '']) => named(all, traceId, service, name) !== undefined),
    );
    const ends = (service: string, name: string): unknown => {
      const span = named(spans, traceId, service, name);
      return [span?.status, span?.attributes['error.type'], span?.events];
    };
    const error = { code: 'error', message: '' };
    expect(ends('finn', 'provider answer')).toEqual([error, 'protocol_error', []]);
    expect(ends('finn', 'POST /api/v1/inference')).toEqual([error, 'failed_midway', []]);
    expect(ends('freeside-api', 'POST /v1/chat/completions')).toEqual([error, 'failed', []]);
  });

  it('an event that is published by the next process still belongs to its trace', async () => {
    const traceId = newTrace();
    const steps = ['One', ' two', { hold: true } as const];
    platform.vendor.script(MODELS.cheap, { steps }, {});
    const asking = ask(platform, { traceparent: traceparent(traceId, '00') });
    await waitFor(() => platform.vendor.holding === 1);
    await platform.services.finn.kill('SIGKILL');
    platform.vendor.release();
    const { requestId } = await asking;
    await platform.restart('finn');
    // Each process sends its own, in its own time.
    const spans = await collector.waitForSpans(
      (all) =>
        named(all, traceId, 'freeside-worker', 'process usage') !== undefined &&
        named(all, traceId, 'finn', 'publish usage') !== undefined,
      30_000,
    );
    const published = named(spans, traceId, 'finn', 'publish usage');
    const processed = named(spans, traceId, 'freeside-worker', 'process usage');
    expect(processed?.parentSpanId).toBe(published?.spanId);
    expect(processed?.attributes['arrakis.request_id']).toBe(requestId);
    expect(published?.attributes['arrakis.request_id']).toBe(requestId);
  });

  it('exports only what the allowlist names, and no secret, text or pseudonym of a customer', async () => {
    const prompt = 'Where-is-the-spice-harvester?';
    const traceId = newTrace();
    const reply = 'In-the-northern-erg';
    platform.vendor.script(MODELS.cheap, { steps: [reply] }, {});
    await ask(
      platform,
      { traceparent: traceparent(traceId, '00'), 'user-agent': 'curious-agent/1.0' },
      prompt,
    );
    await call(platform, '/v1/models?secret=in-a-query');
    const spans = await collector.waitForSpans(
      (all) =>
        named(all, traceId, 'freeside-worker', 'process usage') !== undefined &&
        all.some(({ name }) => name === 'GET /v1/models'),
    );
    const names = new Set(spans.map(({ name }) => name));
    const keys = new Set(spans.flatMap(({ attributes }) => Object.keys(attributes)));
    expect([...names].filter((name) => !SPAN_NAMES.has(name))).toEqual([]);
    expect([...keys].filter((key) => !Object.hasOwn(ATTRIBUTES, key))).toEqual([]);
    const resources = spans.flatMap(({ resource }) => Object.keys(resource));
    expect(new Set(resources)).toEqual(new Set(['service.name', 'service.version']));

    const everything = Buffer.concat(collector.rawBodies).toString('latin1');
    const { rows } = await platform.db.query<{ text: string }>(
      `SELECT unnest(ARRAY[id, split_part(id, ':', 2), community_id::text]) AS text FROM freeside.nfts`,
    );
    const forbidden = [
      ...[prompt, reply, platform.apiKey, platform.communityId, platform.vendor.apiKey],
      ...['curious-agent', 'in-a-query', 'SELECT', 'Bearer', 'eyJ'],
      ...rows.map(({ text }) => text),
    ];
    expect(rows.length).toBeGreaterThan(0);
    expect(forbidden.filter((text) => everything.includes(text))).toEqual([]);
    expect(everything).toContain('POST /v1/chat/completions');
  });

  it('a collector that fails or hangs is felt by no request and ends no drain', async () => {
    const exportsOfApi = (): number =>
      collector.rawBodies.filter((body) => body.includes('freeside-api')).length;
    try {
      for (const answer of [500, 500, 'never'] as const) {
        collector.answerWith(answer);
        const exported = exportsOfApi();
        const { requestId, text } = await ask(platform);
        expect(text).toContain('[DONE]');
        expect((await receiptOf(platform, requestId)).status).toBe('finalized');
        await waitFor(() => exportsOfApi() > exported);
      }
      const { api } = platform.services;
      expect((await api.stop(15_000)).code).toBe(0);
      const complaints = api.logs().filter(({ msg }) => msg === 'spans cannot be exported');
      expect(complaints).toHaveLength(1);
      expect(complaints[0]).toMatchObject({ level: 'warn', code: '500' });
    } finally {
      collector.answerWith(200);
      await platform.restart('api');
    }
  });
});

describe('with no trace sampled', () => {
  beforeAll(async () => {
    collector.clear();
    platform = await startAll({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_TRACES_SAMPLER_ARG: '0',
    });
  });
  afterAll(() => platform.stop());

  it('nothing is exported whatever the client asks for, and the trace goes on unsampled', async () => {
    const traceId = newTrace();
    const { requestId } = await ask(platform, { traceparent: traceparent(traceId, '01') });
    expect(vendorHeaders().traceparent).toMatch(
      new RegExp(`^00-${traceId}-(?!${CLIENT_SPAN})[0-9a-f]{16}-00$`),
    );
    await receiptOf(platform, requestId);
    // What had been recorded would be exported at the end of each process.
    for (const service of SERVICES) await platform.services[service].stop();
    expect(collector.rawBodies).toEqual([]);
    for (const service of SERVICES) {
      expect(loadedBy(platform, service)).toContain('@opentelemetry/sdk-trace');
    }
  });
});

describe('without an endpoint', () => {
  beforeAll(async () => {
    platform = await startAll({});
  });
  afterAll(() => platform.stop());

  it('nothing of OpenTelemetry is loaded, and no trace goes on', async () => {
    await ask(platform, { traceparent: traceparent(newTrace(), '01') });
    expect(vendorHeaders().traceparent).toBeUndefined();
    for (const service of SERVICES) {
      // prom-client loads the bare API for its exemplars.
      expect([...loadedBy(platform, service)]).toEqual(['@opentelemetry/api']);
    }
  });
});
