import { countStatus, metrics } from '../lib/metrics.ts';
import { headerOf, post } from '../lib/target.ts';
import { readReceipt } from './receipt.ts';

const END = 'data: [DONE]';
const USAGE = /"usage":\{[^}]*"completion_tokens":(\d+)/;

/** Asks for a streamed answer, to its end, and checks its receipt. */
export function streamChat(model: string, maxTokens: number): void {
  const response = post('/v1/chat/completions', 'stream', {
    model,
    messages: [{ role: 'user', content: 'Tell me of the desert.' }],
    max_tokens: maxTokens,
    stream: true,
    stream_options: { include_usage: true },
  });
  countStatus(response);
  const body = response.body ?? '';
  const tokens = Number(USAGE.exec(body)?.[1] ?? 0);
  // A stream can break after its 200: only the end says that it is whole.
  const isAnswer = response.status === 200 && body.trimEnd().endsWith(END) && tokens > 0;
  metrics.answerFailed.add(!isAnswer);
  metrics.answers.add(isAnswer ? 1 : 0);
  if (response.status === 200) metrics.timeToFirstToken.add(response.timings.waiting);
  if (!isAnswer) return;
  metrics.answerDuration.add(response.timings.duration);
  metrics.completionTokens.add(tokens);
  readReceipt(headerOf(response, 'x-request-id'));
}
