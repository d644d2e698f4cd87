import { context, SpanStatusCode, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { activeSpan, continueTrace, inSpan, installBackend } from '../spans.ts';
import { AllowlistExporter } from './allowlist-exporter.ts';
import { AsyncContextManager } from './context-manager.ts';
import { EdgeSampler } from './sampler.ts';
import { createSpanBackend } from './span-backend.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;
const UNSAMPLED = `00-${TRACE}-b7ad6b7169203331-00`;

const memory = new InMemorySpanExporter();
const exporter = new AllowlistExporter({ exporter: memory, onFailed: () => undefined });
const provider = new TracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'test' }),
  sampler: new EdgeSampler({ ratio: 0, trustsCallers: true, random: Math.random }),
  spanProcessors: [new SimpleSpanProcessor({ exporter })],
});
const tracer = provider.getTracer('test');

beforeAll(() => {
  context.setGlobalContextManager(new AsyncContextManager());
  installBackend(createSpanBackend(tracer));
});
afterEach(() => memory.reset());
afterAll(async () => {
  installBackend(undefined);
  context.disable();
  await provider.shutdown();
});

const exported = () => memory.getFinishedSpans();

describe('a span', () => {
  test('continues the trace of another process, and its own children continue it', async () => {
    await continueTrace(PARENT, 'process usage', { kind: 'consumer' }, () =>
      inSpan('ledger settle', {}, () => Promise.resolve()),
    );
    const [inner, outer] = exported();
    expect(outer?.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
    expect(inner?.parentSpanContext?.spanId).toBe(outer?.spanContext().spanId);
    expect([inner, outer].map((span) => span?.spanContext().traceId)).toEqual([TRACE, TRACE]);
  });

  test('keeps apart what runs at once', async () => {
    const other = PARENT.replace(TRACE, 'f'.repeat(32));
    const gate = Promise.withResolvers<undefined>();
    const work = (traceparent: string) =>
      continueTrace(traceparent, 'process usage', {}, async () => {
        await gate.promise;
        await inSpan('ledger settle', {}, () => Promise.resolve());
      });
    const both = [work(PARENT), work(other)];
    gate.resolve(undefined);
    await Promise.all(both);
    const settled = exported().filter(({ name }) => name === 'ledger settle');
    expect(settled.map((span) => span.spanContext().traceId).sort()).toEqual([
      TRACE,
      'f'.repeat(32),
    ]);
  });

  test('that fails says of which class the error was, and nothing of its message', async () => {
    const failing = continueTrace(PARENT, 'ledger hold', {}, () =>
      Promise.reject(new RangeError('secret 0xabc')),
    );
    await expect(failing).rejects.toThrow('secret');
    const [span] = exported();
    expect(span?.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(span?.attributes).toEqual({ 'error.type': 'RangeError' });
    expect(JSON.stringify([span?.events, span?.status])).not.toContain('secret');
  });

  test('below one that is not sampled is not made, and its context goes on', async () => {
    const seen = await continueTrace(UNSAMPLED, 'process usage', {}, () =>
      inSpan('ledger settle', {}, (span) => Promise.resolve(span.traceparent)),
    );
    expect(seen).toBe(UNSAMPLED);
    expect(exported()).toEqual([]);
  });

  test.each([undefined, '', 'junk'])('is not made below no trace: %j', async (traceparent) => {
    const seen = await continueTrace(traceparent, 'process usage', {}, (span) =>
      Promise.resolve(span.traceparent),
    );
    expect(seen).toBeUndefined();
    expect(activeSpan().traceparent).toBeUndefined();
    expect(exported()).toEqual([]);
  });
});

describe('the exporter', () => {
  test('passes on nothing that the list does not name', async () => {
    await continueTrace(PARENT, 'process usage', {}, () => {
      const span = tracer.startSpan('POST', {
        attributes: { 'url.full': 'https://x/?key=secret', 'http.request.method': 'POST' },
        links: [{ context: { traceId: TRACE, spanId: 'b7ad6b7169203331', traceFlags: 1 } }],
      });
      span.recordException(new Error('secret'));
      span.setStatus({ code: SpanStatusCode.ERROR, message: 'secret' });
      span.end();
      tracer.startSpan('SELECT secret').end();
      return Promise.resolve();
    });
    const [span, ...others] = exported();
    expect(others.map(({ name }) => name)).toEqual(['process usage']);
    expect(span).toMatchObject({
      name: 'POST',
      attributes: { 'http.request.method': 'POST' },
      status: { code: SpanStatusCode.ERROR },
      links: [],
      events: [],
    });
    expect(JSON.stringify({ ...span, resource: undefined })).not.toContain('secret');
  });
});

test('without a backend the work is just done', async () => {
  installBackend(undefined);
  try {
    const work = () => Promise.resolve(trace.getActiveSpan());
    expect(await inSpan('ledger hold', {}, work)).toBeUndefined();
    expect(await continueTrace(PARENT, 'process usage', {}, work)).toBeUndefined();
    expect(activeSpan().traceparent).toBeUndefined();
  } finally {
    installBackend(createSpanBackend(tracer));
  }
});
