import type { StreamEvent } from '@arrakis/contracts';
import { collectSse } from '@arrakis/testkit';
import type { TestFinn } from './start-finn.ts';

/** Asks for a stream and reads it to its end. */
export async function streamAnswer(
  finn: TestFinn,
  body: object,
  claims: Record<string, unknown> = {},
) {
  const response = await finn.infer({ stream: true, ...body }, { claims });
  const raw = await collectSse(response.body);
  const events = raw.map((event) => JSON.parse(event.data) as StreamEvent);
  const text = events.map((event) => (event.type === 'token' ? event.content : '')).join('');
  const last = events.at(-1);
  if (last === undefined) throw new Error('the stream had no event');
  return { response, raw, events, text, last };
}
