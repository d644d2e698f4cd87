import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { waitFor } from '../processes/wait-for.ts';
import { decodeTraceRequest, type CollectedSpan } from './otlp-spans.ts';

/** How the next exports are answered: with a status, or never. */
export type CollectorAnswer = number | 'never';

/** A real OTLP/HTTP endpoint for traces, protobuf, which keeps what it is sent. */
export interface OtlpCollector {
  /** Base URL, for `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly url: string;
  /** In the order of their arrival; of accepted exports only. */
  spans(): readonly CollectedSpan[];
  /** Bodies as sent, decompressed, refused ones too: whatever was exported stands in here. */
  readonly rawBodies: readonly Buffer[];
  /**
   * Resolves with all spans as soon as `condition` holds for them.
   *
   * @throws Error that lists the names of the spans after `timeoutMs` (15 s).
   */
  waitForSpans(
    condition: (spans: readonly CollectedSpan[]) => boolean,
    timeoutMs?: number,
  ): Promise<readonly CollectedSpan[]>;
  /** 200 at first. */
  answerWith(answer: CollectorAnswer): void;
  /** Forgets spans and bodies. */
  clear(): void;
  /** @throws Error when anything that arrived was no proper export. */
  close(): Promise<void>;
}

const DEFAULT_WAIT_MS = 15_000;
const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** Listens on a free port of 127.0.0.1. Anything but a proper export fails `close()`. */
export async function startOtlpCollector(): Promise<OtlpCollector> {
  const spans: CollectedSpan[] = [];
  const rawBodies: Buffer[] = [];
  let answer: CollectorAnswer = 200;
  let failure: unknown;

  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(request);
    checkRequest(request);
    rawBodies.push(body);
    const decoded = decodeTraceRequest(body);
    if (answer === 'never') return;
    if (answer === 200) spans.push(...decoded);
    // An empty ExportTraceServiceResponse: all of it was taken.
    response.writeHead(answer, { 'content-type': 'application/x-protobuf' }).end();
  };
  const server = createServer((request, response) => {
    take(request, response).catch((error: unknown) => {
      // A sender that is killed in the middle of its export is not at fault.
      if (request.complete) failure ??= error;
      response.writeHead(400).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${String(port)}`,
    rawBodies,
    spans: () => spans,
    async waitForSpans(condition, timeoutMs = DEFAULT_WAIT_MS) {
      try {
        await waitFor(() => condition(spans), { timeoutMs });
      } catch (error) {
        const names = spans.map(
          ({ name, resource }) => `${String(resource['service.name'])} ${name}`,
        );
        throw new Error(`the spans never came; there are:\n${names.join('\n')}`, { cause: error });
      }
      return spans;
    },
    answerWith(next) {
      answer = next;
    },
    clear() {
      spans.length = 0;
      rawBodies.length = 0;
    },
    async close() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      server.closeAllConnections();
      await closed;
      if (failure !== undefined) throw new Error('no proper OTLP export', { cause: failure });
    },
  };
}

function checkRequest(request: IncomingMessage): void {
  const { method = '', url = '', headers } = request;
  if (method !== 'POST' || url !== '/v1/traces') throw new Error(`${method} ${url}`);
  const type = headers['content-type'] ?? 'none';
  if (type !== 'application/x-protobuf') throw new Error(`content type ${type}`);
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('an export without end');
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  return request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
}
