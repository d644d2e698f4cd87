import type { CallRecord, Evidence, ProviderRecord, Verdict } from '../types.ts';
import { windowsOf } from './fault-windows.ts';

const MAX_NAMED = 8;

/** What clients may meet at all, and what they may meet only while something is broken. */
export function serviceVerdicts(evidence: Evidence): Verdict[] {
  return [onlyPolite(evidence), noneOutside(evidence)];
}

function onlyPolite({ calls }: Evidence): Verdict {
  const failed = calls.filter(({ status }) => status !== undefined && status >= 500);
  const rude = failed.filter(
    ({ status, retryAfter }) => status !== 503 || !(retryAfter !== undefined && retryAfter > 0),
  );
  return {
    invariant: 'every 5xx is a 503 with Retry-After',
    ok: rude.length === 0,
    detail: rude.length === 0 ? `${failed.length} of ${calls.length} calls got one` : list(rude),
  };
}

function noneOutside({ calls, faults, provider }: Evidence): Verdict {
  const troubled = troubledMarkers(provider);
  const outside = calls.filter((call) => windowsOf(call, faults).length === 0);
  const failed = outside.filter((call) => isFailure(call) && !troubled.has(call.marker));
  const [first] = failed;
  return {
    invariant: 'outside fault windows no 5xx and no broken connection',
    ok: failed.length === 0,
    detail:
      failed.length === 0
        ? `${outside.length} of ${calls.length} calls ran outside every window`
        : `${failed.length} of ${outside.length}: ${list(failed)}`,
    ...(first === undefined ? {} : { broken: brokenBy(first) }),
  };
}

function isFailure({ outcome }: CallRecord): boolean {
  return outcome === 'unavailable' || outcome === 'cut' || outcome === 'no_answer';
}

/**
 * Calls that the provider itself let down: a gateway can't answer for it. One that stalls is given up
 * by finn, so its own record doesn't say that it failed.
 */
function troubledMarkers(provider: readonly ProviderRecord[]): Set<string> {
  return new Set(
    provider
      .filter(({ outcome, plan }) => outcome === 'failed' || outcome === 'cut' || plan === 'stall')
      .map(({ marker }) => marker),
  );
}

function brokenBy(call: CallRecord): { communityId: string; reservationId?: string } {
  return call.requestId === undefined
    ? { communityId: call.community }
    : { communityId: call.community, reservationId: call.requestId };
}

function list(calls: readonly CallRecord[]): string {
  const named = calls.slice(0, MAX_NAMED).map((call) => {
    const at = new Date(call.startedAtMs).toISOString().slice(11, 23);
    const how = call.status ?? call.fault ?? '';
    const code = call.problemCode ?? '';
    return `${at} ${call.marker} api-${call.replica + 1} ${call.outcome} ${how} ${code}`.trimEnd();
  });
  return [...named, ...(calls.length > MAX_NAMED ? ['...'] : [])].join('; ');
}
