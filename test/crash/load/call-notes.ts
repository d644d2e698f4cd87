import type { IncomingMessage } from 'node:http';

interface UsageBody {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

/** The events of both APIs, as far as they matter here; each has some of the members. */
interface EventBody {
  readonly type?: string;
  readonly content?: string;
  readonly usage?: UsageBody | null;
  readonly error?: { readonly code?: string | null };
  readonly choices?: readonly { readonly delta: { readonly content?: string } }[];
}

interface PlainBody {
  readonly content?: string;
  readonly code?: string;
  readonly error?: { readonly code?: string | null };
  readonly choices?: readonly { readonly message: { readonly content: string } }[];
  readonly usage?: UsageBody;
}

/** What a client learns of its call, as it comes. */
export class CallNotes {
  status: number | undefined;
  requestId: string | undefined;
  headersAtMs: number | undefined;
  retryAfter: number | undefined;
  problemCode: string | undefined;
  text = '';
  deliveredTokens: number | undefined;
  sawDone = false;
  usage: { readonly promptTokens: number; readonly completionTokens: number } | undefined;
  fault: string | undefined;
  left = false;
  onPiece: (pieces: number) => void = () => undefined;
  readonly #beganAt: number;
  /** Milliseconds after the beginning at which each text event came. */
  readonly #arrivals: number[] = [];

  constructor(beganAt: number) {
    this.#beganAt = beganAt;
  }

  get pieces(): number {
    return this.#arrivals.length;
  }

  piecesBefore(at: number): number {
    return this.#arrivals.filter((arrival) => arrival + this.#beganAt < at).length;
  }

  head(answer: IncomingMessage): void {
    const { headers, statusCode } = answer;
    this.status = statusCode;
    this.headersAtMs = Date.now();
    const requestId = headers['x-request-id'];
    if (typeof requestId === 'string') this.requestId = requestId;
    const retryAfter = headers['retry-after'];
    if (retryAfter !== undefined) this.retryAfter = Number(retryAfter);
  }

  /** @param at monotonic */
  event(data: string, id: string | undefined, at: number): void {
    if (data === '[DONE]') {
      this.sawDone = true;
      return;
    }
    const body = JSON.parse(data) as EventBody;
    if (body.error !== undefined) this.problemCode = body.error.code ?? 'error';
    if (body.usage !== undefined && body.usage !== null) this.#noteUsage(body.usage);
    if (body.type === 'done') this.sawDone = true;
    const content = body.content ?? body.choices?.[0]?.delta.content ?? '';
    if (content === '') return;
    this.text += content;
    if (id !== undefined) this.deliveredTokens = Number(id);
    this.#arrivals.push(at - this.#beganAt);
    this.onPiece(this.#arrivals.length);
  }

  body(text: string, route: 'inference' | 'chat_completions'): void {
    const body = JSON.parse(text) as PlainBody;
    if (this.status !== 200) {
      this.problemCode = body.code ?? body.error?.code ?? 'unknown';
      return;
    }
    const content = route === 'inference' ? body.content : body.choices?.[0]?.message.content;
    if (content === undefined || body.usage === undefined) throw new Error('not an answer');
    this.text = content;
    this.#noteUsage(body.usage);
    this.sawDone = true;
  }

  #noteUsage(usage: UsageBody): void {
    this.usage = { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens };
  }
}
