import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { DEMO_AGENTS } from '../lib/demo.ts';
import { requiredEnv, requiredSecretEnv } from '../lib/env.ts';
import { runScript, say } from '../lib/entry.ts';
import { PlainError } from '../lib/plain-error.ts';

/** An installation may have only just begun. */
const READY_TIMEOUT_MS = 180_000;
const ANSWER_TIMEOUT_MS = 120_000;
const RECEIPT_TIMEOUT_MS = 30_000;
const RETRY_MS = 250;

interface Receipt {
  readonly status: string;
  readonly hold: string;
  readonly charge: string;
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  readonly poolUsed: string | null;
  readonly settledBy: string | null;
}

interface Api {
  readonly url: string;
  readonly key: string;
}

/**
 * What `helm test` runs: an answer streamed through the Service, its receipt, and every equation of
 * the books. Others may be asking meanwhile, so it looks at its own receipt and not at the balance.
 */
await runScript('metered-answer', async () => {
  const api = {
    url: requiredEnv('PLATFORM_URL', 'where the api answers'),
    key: requiredSecretEnv('DEMO_API_KEY', 'the demo API key').trim(),
  };
  const databaseUrl = requiredSecretEnv('DATABASE_URL', 'the database, as freeside_app');
  await untilItAnswers(api);
  const requestId = await ask(api);
  const receipt = await receiptOf(api, requestId);
  checkReceipt(receipt);
  say(
    `charged ${receipt.charge} of ${receipt.hold} held micro-credits ` +
      `(${String(receipt.promptTokens)} + ${String(receipt.completionTokens)} tokens, ` +
      `pool ${receipt.poolUsed ?? '?'}, settled by ${receipt.settledBy ?? '?'})`,
  );
  await checkBooks(databaseUrl);
  say('the books balance');
});

/** Until the API says which models there are: the database, the seed and finn are there then. */
async function untilItAnswers(api: Api): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  let isTold = false;
  for (;;) {
    const seen = await fetch(`${api.url}/v1/models`, {
      headers: { authorization: `Bearer ${api.key}` },
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    }).then(
      ({ status }) => `it answers ${String(status)}`,
      () => 'nobody answers there',
    );
    if (seen === 'it answers 200') return;
    if (performance.now() > deadline) {
      throw new PlainError(`the api at ${api.url} is not ready: ${seen}`, [
        'kubectl get pods, in the namespace of the release, shows what is missing.',
      ]);
    }
    if (!isTold) say('waiting until the platform is ready …');
    isTold = true;
    await pause(RETRY_MS);
  }
}

async function ask(api: Api): Promise<string> {
  const startedAtMs = performance.now();
  const response = await fetch(`${api.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: DEMO_AGENTS[0].slug,
      messages: [{ role: 'user', content: 'Who are you?' }],
      max_tokens: 40,
      stream: true,
    }),
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  const requestId = response.headers.get('x-request-id');
  if (!response.ok || requestId === null) {
    const body = await response.text();
    throw new PlainError(`the api answered ${String(response.status)}: ${body.slice(0, 500)}`);
  }
  const text = await response.text();
  if (!text.includes('data: [DONE]')) throw new PlainError('the stream did not come to its end');
  const pieces = text.split('\n').filter((line) => line.startsWith('data: {')).length;
  const ms = (performance.now() - startedAtMs).toFixed(0);
  say(`an answer in ${String(pieces)} events after ${ms} ms`);
  return requestId;
}

async function receiptOf(api: Api, requestId: string): Promise<Receipt> {
  const deadline = performance.now() + RECEIPT_TIMEOUT_MS;
  for (;;) {
    const response = await fetch(`${api.url}/api/v1/usage/${requestId}`, {
      headers: { authorization: `Bearer ${api.key}` },
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    if (response.ok) {
      const receipt = (await response.json()) as Receipt;
      if (receipt.settledBy !== null) return receipt;
    }
    if (performance.now() > deadline) {
      throw new PlainError(`the answer was not settled (status ${String(response.status)})`);
    }
    await pause(RETRY_MS);
  }
}

function checkReceipt(receipt: Receipt): void {
  const isMetered =
    receipt.status === 'finalized' &&
    BigInt(receipt.charge) > 0n &&
    BigInt(receipt.charge) <= BigInt(receipt.hold) &&
    (receipt.completionTokens ?? 0) > 0;
  if (!isMetered) throw new PlainError(`the receipt is wrong: ${JSON.stringify(receipt)}`);
}

async function checkBooks(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'helm-test' });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ line: string }>(
      `SELECT equation || ': ' || drift_micro AS line FROM freeside.conservation_full WHERE drift_micro <> 0`,
    );
    if (rows.length > 0) {
      throw new PlainError(
        'the books do not balance',
        rows.map(({ line }) => line),
      );
    }
  } finally {
    await client.end();
  }
}
