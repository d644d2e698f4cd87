import { fail, sleep } from 'k6';
import { readBalance, type Balance } from '../flows/balance.ts';
import { completeChat } from '../flows/chat-completion.ts';
import { listModels } from '../flows/models.ts';
import { streamChat } from '../flows/streamed-completion.ts';
import { metrics } from './metrics.ts';

/** What every scenario does before, within and after its load. */

export interface Start {
  readonly model: string;
  readonly balance: Balance;
}

const MAX_TOKENS = Number(__ENV.LOAD_MAX_TOKENS ?? '32');
const SETTLE_TIMEOUT_MS = 60_000;
const POLL_SECONDS = 0.5;

/** Looks whether there is a platform at all: without one, nothing may look like a good run. */
export function begin(): Start {
  const models = listModels();
  const model = __ENV.LOAD_MODEL ?? models.find((id) => id.endsWith('@cheap')) ?? models[0];
  if (model === undefined) fail('no model can be asked: are BASE_URL and API_KEY right?');
  const balance = readBalance();
  if (balance === undefined) fail('the balance cannot be read: may the key read it?');
  return { model, balance };
}

/** One user's turn: a question, alternately streamed and plain, and its receipt. */
export function turn({ model }: Start): void {
  if (__ITER % 2 === 0) streamChat(model, MAX_TOKENS);
  else completeChat(model, MAX_TOKENS);
}

/**
 * Holds the receipts of the run against what the balance fell by. Other traffic on the same
 * community shows up as a difference: give the load a community of its own.
 */
export function settle({ balance: before }: Start): void {
  const endMs = Date.now() + SETTLE_TIMEOUT_MS;
  let after = readBalance();
  while ((after === undefined || after.held > before.held) && Date.now() < endMs) {
    sleep(POLL_SECONDS);
    after = readBalance();
  }
  if (after === undefined) fail('the balance cannot be read after the run');
  metrics.booksDifference.add(before.spent - after.spent);
  const { available, held, spent, expired, minted } = after;
  metrics.booksBalanced.add(available + held + spent + expired === minted && held <= before.held);
  // A metric without a sample is judged by no threshold: now "more than none" always is.
  metrics.answers.add(0);
}
