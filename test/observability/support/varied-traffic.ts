import { INFERENCE_PATH } from '@arrakis/contracts';
import { collectSse } from '@arrakis/testkit';
import { MODELS, call, receiptOf, type Platform } from '../../e2e/support/platform.ts';

const SCOUT = '1:0x00000000000000000000000000000000000a11ce:2';

/** One request of each kind that leaves a mark of its own in the metrics. */
export async function varyTraffic(platform: Platform): Promise<void> {
  // First, because finn's counters begin anew.
  await withoutFinn(platform);
  await answered(platform);
  await refused(platform);
  await failedAtTheVendor(platform);
  await clientLeaves(platform);
}

function chat(platform: Platform, model: string): Promise<Response> {
  const messages = [{ role: 'user', content: 'What is it worth?' }];
  return call(platform, '/v1/chat/completions', { model, messages });
}

async function ask(platform: Platform, extra: object = {}, init?: RequestInit): Promise<Response> {
  const body = { nft_id: SCOUT, prompt: 'What now?', max_tokens: 50, ...extra };
  return call(platform, INFERENCE_PATH, body, init);
}

async function finished(response: Response): Promise<Response> {
  await response.text();
  return response;
}

async function answered(platform: Platform): Promise<void> {
  await finished(await ask(platform));
  const stream = await ask(platform, { stream: true });
  await collectSse(stream.body!);
  await receiptOf(platform, stream.headers.get('x-request-id')!);
  await finished(await chat(platform, 'market-scout'));
}

async function refused(platform: Platform): Promise<void> {
  const headers = { authorization: `Bearer lf_live_aaaaaaaaaaaa_${'0'.repeat(32)}` };
  await finished(await ask(platform, {}, { headers }));
  await finished(
    await fetch(`${platform.finnUrl}${INFERENCE_PATH}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer a.b.c' },
      body: '{"prompt":"x","stream":false}',
    }),
  );
}

async function failedAtTheVendor(platform: Platform): Promise<void> {
  platform.vendor.script(MODELS.cheap, { status: 400 });
  await finished(await ask(platform));
  // freeside tries again after a second, and the next answer is one.
  platform.vendor.script(MODELS.cheap, { status: 500 }, {});
  await finished(await ask(platform));
  platform.vendor.script(MODELS.cheap, { steps: ['one', ' two', { cut: true }] });
  await finished(await ask(platform, { stream: true }));
  platform.vendor.script(MODELS.cheap, {});
}

async function clientLeaves(platform: Platform): Promise<void> {
  platform.vendor.script(MODELS.cheap, { steps: ['one', { stall: true }] });
  const abort = new AbortController();
  const response = await ask(platform, { stream: true }, { signal: abort.signal });
  const requestId = response.headers.get('x-request-id')!;
  abort.abort();
  await receiptOf(platform, requestId, 20_000);
  platform.vendor.script(MODELS.cheap, {});
}

/** Asks a pool of its own: its breaker opens, and the others' need not be waited for. */
async function withoutFinn(platform: Platform): Promise<void> {
  await platform.services.finn.kill('SIGKILL');
  const response = await finished(await chat(platform, 'dune-sage'));
  if (response.status !== 503) throw new Error(`503 expected, not ${response.status}`);
  await platform.restart('finn');
}
