import type { Step } from '@arrakis/testkit';
import { MODEL } from './start-finn.ts';

/** Deltas that the fake vendor doesn't count against `max_tokens`. */
export function pieces(contents: readonly string[]): Step[] {
  return contents.map((content) => ({
    raw: `data: ${JSON.stringify({
      id: 'x',
      object: 'chat.completion.chunk',
      created: 1,
      model: MODEL,
      choices: [{ index: 0, delta: { content }, finish_reason: null }],
    })}\n\n`,
  }));
}
