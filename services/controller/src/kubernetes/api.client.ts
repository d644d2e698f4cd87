import { Agent, request, type Dispatcher } from 'undici';
import { ApiError } from './api-error.ts';
import type { KubeConnection } from './connection.ts';
import type { KubeList, KubeObject, Resource, WatchEvent } from './objects.ts';

/** Our writes are one owner's, wherever they come from. */
export const FIELD_MANAGER = 'arrakis-controller';

/**
 * Together with the trust window of the Lease this is less than its duration: a write that began
 * while we led is over, or given up, before another may lead.
 */
const WRITE_TIMEOUT_MS = 4_000;
const READ_TIMEOUT_MS = 10_000;
const LIST_TIMEOUT_MS = 30_000;
const PAGE = 500;
const MAX_BODY_BYTES = 64 * 1024 * 1024;

export interface ApiClientOptions {
  readonly connection: KubeConnection;
  /** Throws unless this process leads: asked before each write. */
  readonly guard?: () => void;
  /** For a read, and for each answer's head. Default 10 s. */
  readonly readTimeoutMs?: number;
  readonly onRequest?: (call: { verb: string; resource: string; code: number }) => void;
}

interface Call {
  readonly verb: string;
  readonly resource: Resource;
  readonly path: string;
  readonly method: Dispatcher.HttpMethod;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface Target {
  readonly namespace: string;
  readonly name: string;
  readonly subresource?: string;
}

export interface Selection {
  readonly namespace: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** The API server's REST interface, as far as a controller needs it. */
export class ApiClient {
  readonly #options: ApiClientOptions;
  #agent: Agent;

  constructor(options: ApiClientOptions) {
    this.#options = options;
    this.#agent = this.#newAgent();
  }

  async get<T extends KubeObject>(resource: Resource, target: Target): Promise<T> {
    const path = pathOf(resource, target.namespace, target.name, target.subresource);
    return (await this.#json({
      ...{ verb: 'get', resource, path, method: 'GET' },
      timeoutMs: this.#options.readTimeoutMs ?? READ_TIMEOUT_MS,
    })) as T;
  }

  /** All pages as one list, of one moment. */
  async list<T>(resource: Resource, selection: Selection): Promise<KubeList<T>> {
    const items: T[] = [];
    let token: string | undefined;
    for (;;) {
      const page = (await this.#json({
        verb: 'list',
        resource,
        path: pathOf(resource, selection.namespace),
        method: 'GET',
        query: {
          ...selectorsOf(selection),
          limit: String(PAGE),
          ...(token ? { continue: token } : {}),
        },
        timeoutMs: LIST_TIMEOUT_MS,
      })) as KubeList<T>;
      items.push(...page.items);
      token = page.metadata.continue;
      if (!token) return { metadata: page.metadata, items };
    }
  }

  /**
   * Server-side apply: afterwards exactly the given fields are ours. With `metadata.resourceVersion`
   * (and `uid`) the write fails on an object that has changed since, and creates nothing.
   */
  async apply<T extends KubeObject>(
    resource: Resource,
    object: T,
    subresource?: string,
  ): Promise<T> {
    const { namespace = '', name } = object.metadata;
    return (await this.#write({
      verb: 'apply',
      resource,
      path: pathOf(resource, namespace, name, subresource),
      method: 'PATCH',
      query: { fieldManager: FIELD_MANAGER, force: 'true' },
      body: object,
      contentType: 'application/apply-patch+yaml',
    })) as T;
  }

  async mergePatch<T extends KubeObject>(
    resource: Resource,
    target: Target,
    patch: object,
  ): Promise<T> {
    return (await this.#write({
      verb: 'patch',
      resource,
      path: pathOf(resource, target.namespace, target.name, target.subresource),
      method: 'PATCH',
      query: { fieldManager: FIELD_MANAGER },
      body: patch,
      contentType: 'application/merge-patch+json',
    })) as T;
  }

  async create<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    return (await this.#write({
      verb: 'create',
      resource,
      path: pathOf(resource, object.metadata.namespace ?? ''),
      method: 'POST',
      query: { fieldManager: FIELD_MANAGER },
      body: object,
      contentType: 'application/json',
    })) as T;
  }

  /** With `metadata.resourceVersion`: only if nobody wrote since. */
  async replace<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    const { namespace = '', name } = object.metadata;
    return (await this.#write({
      verb: 'update',
      resource,
      path: pathOf(resource, namespace, name),
      method: 'PUT',
      query: { fieldManager: FIELD_MANAGER },
      body: object,
      contentType: 'application/json',
    })) as T;
  }

  /** Ends when the server ends it; rejects when `signal` is aborted. */
  async *watch<T>(
    resource: Resource,
    selection: Selection,
    options: {
      readonly resourceVersion: string;
      readonly timeoutSeconds: number;
      readonly signal: AbortSignal;
    },
  ): AsyncGenerator<WatchEvent<T>> {
    const response = await this.#send({
      verb: 'watch',
      resource,
      path: pathOf(resource, selection.namespace),
      method: 'GET',
      query: {
        ...selectorsOf(selection),
        watch: '1',
        allowWatchBookmarks: 'true',
        resourceVersion: options.resourceVersion,
        timeoutSeconds: String(options.timeoutSeconds),
      },
      timeoutMs: READ_TIMEOUT_MS,
      signal: options.signal,
    });
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      rest += decoder.decode(chunk, { stream: true });
      for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n')) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 1);
        if (line !== '') yield JSON.parse(line) as WatchEvent<T>;
      }
    }
  }

  /** Lets go of every connection: one that went silent is rarely alone. */
  reconnect(): void {
    const old = this.#agent;
    this.#agent = this.#newAgent();
    void old.destroy();
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #newAgent(): Agent {
    return new Agent({
      connect: { ...this.#options.connection.tls, timeout: 5_000 },
      // A watch is silent for as long as nothing changes; whoever reads it keeps its own time.
      bodyTimeout: 0,
      headersTimeout: LIST_TIMEOUT_MS,
      keepAliveTimeout: 60_000,
    });
  }

  async #write(call: Omit<Call, 'timeoutMs'>): Promise<unknown> {
    this.#options.guard?.();
    return this.#json({ ...call, timeoutMs: WRITE_TIMEOUT_MS });
  }

  async #json(call: Call): Promise<unknown> {
    const deadline = AbortSignal.timeout(call.timeoutMs);
    const response = await this.#send({ ...call, signal: deadline });
    return JSON.parse(await readBounded(response.body)) as unknown;
  }

  /** @throws ApiError for every answer but 2xx. */
  async #send(call: Call): Promise<Dispatcher.ResponseData> {
    const { connection, onRequest } = this.#options;
    const url = new URL(`${connection.server.replace(/\/$/, '')}/${call.path}`);
    for (const [name, value] of Object.entries(call.query ?? {})) url.searchParams.set(name, value);
    const report = (code: number): void =>
      onRequest?.({ verb: call.verb, resource: call.resource.plural, code });
    let response: Dispatcher.ResponseData;
    try {
      response = await request(url, {
        dispatcher: this.#agent,
        method: call.method,
        headersTimeout: call.timeoutMs,
        ...(call.signal === undefined ? {} : { signal: call.signal }),
        headers: {
          accept: 'application/json',
          ...(await connection.authorization()),
          ...(call.contentType === undefined ? {} : { 'content-type': call.contentType }),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      });
    } catch (error) {
      report(0);
      throw error;
    }
    report(response.statusCode);
    if (response.statusCode < 300) return response;
    throw toApiError(response.statusCode, await readBounded(response.body), call);
  }
}

/** Of a refusal only what can't quote an object's contents. */
function toApiError(status: number, text: string, call: Call): ApiError {
  const what = `${call.verb} ${call.resource.plural}`;
  try {
    const { reason, message } = JSON.parse(text) as { reason?: string; message?: string };
    const mayQuote = call.resource.plural === 'secrets' && status !== 403;
    return new ApiError(status, reason ?? 'Unknown', what, mayQuote ? '' : (message ?? ''));
  } catch {
    return new ApiError(status, 'Unknown', what);
  }
}

async function readBounded(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('the API server answered far too much');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function pathOf(
  resource: Resource,
  namespace: string,
  name?: string,
  subresource?: string,
): string {
  return [resource.root, 'namespaces', namespace, resource.plural, name, subresource]
    .filter((part) => part !== undefined)
    .map((part) => (part === resource.root ? part : encodeURIComponent(part)))
    .join('/');
}

function selectorsOf({ labelSelector, fieldSelector }: Selection): Record<string, string> {
  return {
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  };
}
