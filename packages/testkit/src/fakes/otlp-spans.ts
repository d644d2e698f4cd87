import { ProtobufReader } from './protobuf-reader.ts';

export type CollectedValue = string | number | bigint | boolean | Buffer | CollectedValue[];
export type CollectedAttributes = Readonly<Record<string, CollectedValue>>;

/** One span as it came over the wire, with what the sender said of itself. */
export interface CollectedSpan {
  /** Lower-case hex. */
  readonly traceId: string;
  readonly spanId: string;
  /** Absent on a root. */
  readonly parentSpanId: string | undefined;
  readonly traceState: string;
  readonly name: string;
  readonly kind: 'unspecified' | 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  readonly startUnixNano: bigint;
  readonly endUnixNano: bigint;
  readonly attributes: CollectedAttributes;
  readonly events: readonly { readonly name: string; readonly attributes: CollectedAttributes }[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status: { readonly code: 'unset' | 'ok' | 'error'; readonly message: string };
  /** Of the process: `service.name` and so on. */
  readonly resource: CollectedAttributes;
  /** Name of the instrumentation that made it. */
  readonly scope: string;
}

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const;
const STATUS_CODES = ['unset', 'ok', 'error'] as const;

/**
 * The spans of an `ExportTraceServiceRequest` (opentelemetry-proto, trace/v1). The numbers are the
 * field numbers of its messages.
 *
 * @throws Error when the bytes are not such a message.
 */
export function decodeTraceRequest(body: Buffer): CollectedSpan[] {
  const spans: CollectedSpan[] = [];
  for (const resourceSpans of fieldsOf(body).messages(1)) {
    const of = fieldsOf(resourceSpans);
    const resource = of.messages(1).flatMap((each) => fieldsOf(each).messages(1));
    for (const scopeSpans of of.messages(2).map(fieldsOf)) {
      const scope = scopeSpans.messages(1).map((each) => fieldsOf(each).text(1))[0] ?? '';
      for (const span of scopeSpans.messages(2)) {
        spans.push(decodeSpan(span, decodeAttributes(resource), scope));
      }
    }
  }
  return spans;
}

function decodeSpan(bytes: Buffer, resource: CollectedAttributes, scope: string): CollectedSpan {
  const of = fieldsOf(bytes);
  const [traceId, spanId] = [of.hex(1), of.hex(2)];
  if (traceId.length !== 32 || spanId.length !== 16) throw new Error('a span without its ids');
  const status = fieldsOf(of.messages(15)[0] ?? Buffer.alloc(0));
  return {
    traceId,
    spanId,
    parentSpanId: of.hex(4) === '' ? undefined : of.hex(4),
    traceState: of.text(3),
    name: of.text(5),
    kind: KINDS[Number(of.number(6))] ?? 'unspecified',
    startUnixNano: of.number(7),
    endUnixNano: of.number(8),
    attributes: decodeAttributes(of.messages(9)),
    events: of.messages(11).map((each) => {
      const event = fieldsOf(each);
      return { name: event.text(2), attributes: decodeAttributes(event.messages(3)) };
    }),
    links: of.messages(13).map((each) => {
      const link = fieldsOf(each);
      return { traceId: link.hex(1), spanId: link.hex(2) };
    }),
    status: { code: STATUS_CODES[Number(status.number(3))] ?? 'unset', message: status.text(2) },
    resource,
    scope,
  };
}

function decodeAttributes(keyValues: readonly Buffer[]): CollectedAttributes {
  return Object.fromEntries(
    keyValues.map((each) => {
      const of = fieldsOf(each);
      return [of.text(1), decodeValue(of.messages(2)[0] ?? Buffer.alloc(0))];
    }),
  );
}

/** `AnyValue`: one of its fields is set; an empty message stands for an empty string. */
function decodeValue(bytes: Buffer): CollectedValue {
  const of = fieldsOf(bytes);
  if (of.has(2)) return of.number(2) !== 0n;
  if (of.has(3)) return toNumber(BigInt.asIntN(64, of.number(3)));
  if (of.has(4)) return of.double(4);
  if (of.has(5))
    return fieldsOf(of.messages(5)[0] ?? bytes)
      .messages(1)
      .map(decodeValue);
  if (of.has(6)) return of.messages(6);
  if (of.has(7)) return of.messages(7)[0] ?? Buffer.alloc(0);
  return of.text(1);
}

function toNumber(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function fieldsOf(bytes: Buffer): ProtobufReader {
  return new ProtobufReader(bytes);
}
