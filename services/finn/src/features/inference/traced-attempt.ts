import { inSpan, type ActiveSpan } from '@arrakis/telemetry';
import type { Choice } from '../pools/pool.domain.ts';
import type { Target } from '../pools/target.ts';
import { ProviderError } from '../providers/provider.ts';
import type { Attempt, AttemptEnd } from './attempt.ts';

/** Runs an attempt in a span that says which target was asked and how it ended. Never throws. */
export function runTraced(attempt: Attempt, { pool, target }: Choice<Target>): Promise<AttemptEnd> {
  const attributes = {
    'arrakis.pool': pool,
    'arrakis.target': target.name,
    'gen_ai.request.model': target.model,
  };
  return inSpan('provider answer', { attributes }, async (span) => {
    const end = await attempt.run();
    note(span, end);
    return end;
  });
}

function note(span: ActiveSpan, end: AttemptEnd): void {
  span.set({ 'arrakis.outcome': end.kind === 'ended' ? end.why : end.kind });
  if (end.kind === 'failed') {
    span.fail(end.error instanceof ProviderError ? end.error.code : 'error');
  } else if (end.kind === 'ended' && end.why === 'timeout') {
    span.fail('timeout');
  }
}
