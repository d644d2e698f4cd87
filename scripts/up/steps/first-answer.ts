import { DEMO_AGENTS } from '../../lib/demo.ts';
import { waitFor } from '../../lib/processes.ts';
import { PlainError } from '../../lib/plain-error.ts';
import type { Report } from '../report.ts';

const AGENT = DEMO_AGENTS[0];
const QUESTION = 'In two sentences: what does the desert teach a newcomer?';
const MAX_TOKENS = 80;
const ANSWER_TIMEOUT_MS = 120_000;
const RECEIPT_TIMEOUT_MS = 15_000;

/** The body of the first request; the same as in the printed curl line. */
export const FIRST_REQUEST = {
  model: AGENT.slug,
  messages: [{ role: 'user', content: QUESTION }],
  max_tokens: MAX_TOKENS,
  stream: true,
} as const;

interface Chunk {
  readonly choices?: readonly { readonly delta?: { readonly content?: string | null } }[];
  readonly error?: { readonly message?: string };
}

interface Receipt {
  readonly status: string;
  readonly hold: string;
  readonly charge: string;
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  readonly poolUsed: string | null;
  readonly priceVersion: number;
  readonly settledBy: string | null;
}

interface Balance {
  readonly available: string;
  readonly held: string;
  readonly spent: string;
}

/**
 * Asks the demo agent through the public API and prints the answer as it arrives, then the receipt
 * and what is left.
 */
export async function streamFirstAnswer(
  report: Report,
  api: { url: string; key: string },
): Promise<void> {
  report.print();
  report.print(report.faint(`POST /v1/chat/completions as the agent ${AGENT.slug}: ${QUESTION}`));
  report.print();
  const started = performance.now();
  const response = await call(api, '/v1/chat/completions', JSON.stringify(FIRST_REQUEST));
  const requestId = response.headers.get('x-request-id');
  let firstTokenMs: number | undefined;
  for await (const text of contents(response)) {
    firstTokenMs ??= performance.now() - started;
    report.write(text);
  }
  const totalMs = performance.now() - started;
  report.print();
  report.print();
  if (firstTokenMs === undefined) throw new PlainError('The answer came without a single token.');
  report.print(
    `First token after ${firstTokenMs.toFixed(0)} ms, the whole answer after ${(totalMs / 1000).toFixed(1)} s.`,
  );
  if (requestId !== null) await printReceipt(report, api, requestId);
}

async function printReceipt(
  report: Report,
  api: { url: string; key: string },
  requestId: string,
): Promise<void> {
  let receipt: Receipt | undefined;
  const settled = await waitFor(async () => {
    const response = await call(api, `/api/v1/usage/${requestId}`);
    receipt = (await response.json()) as Receipt;
    return receipt.settledBy !== null;
  }, RECEIPT_TIMEOUT_MS);
  if (!settled || receipt === undefined) {
    report.print(`The receipt is not settled yet: GET /api/v1/usage/${requestId}`);
    return;
  }
  report.print(
    `Receipt ${requestId}: held ${dollars(receipt.hold)}, charged ${dollars(receipt.charge)} for ` +
      `${String(receipt.promptTokens)} + ${String(receipt.completionTokens)} tokens, pool ${String(receipt.poolUsed)}, ` +
      `prices v${String(receipt.priceVersion)}, settled by ${String(receipt.settledBy)}.`,
  );
  const balance = (await (await call(api, '/api/v1/balance')).json()) as Balance;
  report.print(
    `Balance: ${dollars(balance.available)} available, ${dollars(balance.held)} held, ${dollars(balance.spent)} spent.`,
  );
}

async function call(
  api: { url: string; key: string },
  path: string,
  body?: string,
): Promise<Response> {
  const response = await fetch(`${api.url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      authorization: `Bearer ${api.key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: body ?? null,
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  if (response.ok) return response;
  const text = (await response.text()).slice(0, 1_000);
  throw new PlainError(`${path} was refused with ${String(response.status)}: ${text}`, [
    'Look at: make logs S=freeside-api   and   make logs S=finn',
  ]);
}

/** The texts of a stream of chat completion chunks. */
async function* contents(response: Response): AsyncGenerator<string> {
  let buffered = '';
  const decoder = new TextDecoder();
  for await (const bytes of response.body ?? []) {
    buffered += decoder.decode(bytes as Uint8Array, { stream: true });
    const lines = buffered.split('\n');
    buffered = lines.pop() ?? '';
    for (const line of lines) {
      const text = contentOf(line);
      if (text !== '') yield text;
    }
  }
}

function contentOf(line: string): string {
  if (!line.startsWith('data: {')) return '';
  const chunk = JSON.parse(line.slice('data: '.length)) as Chunk;
  if (chunk.error !== undefined) {
    throw new PlainError(`The answer broke off: ${chunk.error.message ?? 'no reason given'}`, [
      'Look at: make logs S=finn',
    ]);
  }
  return chunk.choices?.[0]?.delta?.content ?? '';
}

/** Micro-credits in dollars, with every digit: `$0.000123`. */
function dollars(micro: string): string {
  const digits = micro.padStart(7, '0');
  const cents = digits.slice(-6).replace(/0{1,4}$/, '');
  return `$${digits.slice(0, -6)}.${cents}`;
}
