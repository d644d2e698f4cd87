import { countStatus, metrics } from '../lib/metrics.ts';
import { headerOf, jsonOf, post } from '../lib/target.ts';
import { readReceipt } from './receipt.ts';

/** Asks for a plain answer and checks its receipt. */
export function completeChat(model: string, maxTokens: number): void {
  const response = post('/v1/chat/completions', 'chat', {
    model,
    messages: [{ role: 'user', content: 'Tell me of the desert.' }],
    max_tokens: maxTokens,
  });
  countStatus(response);
  const { usage } = jsonOf(response);
  const tokens = Number((usage as { completion_tokens?: unknown } | undefined)?.completion_tokens);
  const isAnswer = response.status === 200 && tokens > 0;
  metrics.answerFailed.add(!isAnswer);
  metrics.answers.add(isAnswer ? 1 : 0);
  if (!isAnswer) return;
  metrics.answerDuration.add(response.timings.duration);
  metrics.completionTokens.add(tokens);
  readReceipt(headerOf(response, 'x-request-id'));
}
