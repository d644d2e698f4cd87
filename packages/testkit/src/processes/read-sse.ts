export interface SseEvent {
  readonly data: string;
  readonly id?: string;
  readonly event?: string;
}

/** The bytes are not what a correct server of events sends. */
export class SseFormatError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'SseFormatError';
  }
}

const FIELDS = new Set(['data', 'id', 'event', 'retry']);

/**
 * Reads server-sent events as the HTML standard frames them (LF, CR and CRLF all end a line) but
 * without its leniency: invalid UTF-8, an unknown field and an event without its blank line throw.
 * So a server that forgot to escape a line break is found out.
 * @throws SseFormatError
 */
export async function* readSse(stream: AsyncIterable<Uint8Array>): AsyncGenerator<SseEvent> {
  let fields: [string, string][] = [];
  for await (const line of readLines(stream)) {
    if (line !== '') {
      const field = parseField(line);
      if (field !== undefined) fields.push(field);
    } else if (fields.length > 0) {
      yield toEvent(fields);
      fields = [];
    }
  }
  if (fields.length > 0) throw new SseFormatError('the stream ended inside an event');
}

/** Every event of a stream that ends. */
export async function collectSse(stream: AsyncIterable<Uint8Array>): Promise<SseEvent[]> {
  const events: SseEvent[] = [];
  for await (const event of readSse(stream)) events.push(event);
  return events;
}

async function* readLines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  for await (const bytes of stream) {
    rest += decode(() => decoder.decode(bytes, { stream: true }));
    // A CR at the very end may be the first half of a CRLF: it waits for what follows.
    const complete = rest.endsWith('\r') ? rest.slice(0, -1) : rest;
    const lines = complete.split(/\r\n|\r|\n/);
    rest = (lines.pop() ?? '') + (complete === rest ? '' : '\r');
    yield* lines;
  }
  rest += decode(() => decoder.decode());
  const lines = rest.split(/\r\n|\r|\n/);
  if (lines.pop() !== '') throw new SseFormatError('the stream ended inside a line');
  yield* lines;
}

function decode(read: () => string): string {
  try {
    return read();
  } catch {
    throw new SseFormatError('the stream is not valid UTF-8');
  }
}

function parseField(line: string): [string, string] | undefined {
  if (line.startsWith(':')) return undefined;
  const colon = line.indexOf(':');
  const name = colon === -1 ? line : line.slice(0, colon);
  if (!FIELDS.has(name))
    throw new SseFormatError(`unknown field in the line ${JSON.stringify(line)}`);
  const value = colon === -1 ? '' : line.slice(colon + 1);
  return [name, value.startsWith(' ') ? value.slice(1) : value];
}

function toEvent(fields: readonly [string, string][]): SseEvent {
  const valuesOf = (wanted: string): string[] =>
    fields.filter(([name]) => name === wanted).map(([, value]) => value);
  const data = valuesOf('data');
  if (data.length === 0) throw new SseFormatError('an event without data');
  const id = valuesOf('id').at(-1);
  const event = valuesOf('event').at(-1);
  return {
    data: data.join('\n'),
    ...(id === undefined ? {} : { id }),
    ...(event === undefined ? {} : { event }),
  };
}
