import { UsageEvent } from '@arrakis/contracts';
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { MeterStart } from './usage-event.domain.ts';

/**
 * The journal's lines, one JSON object each. `streams` holds starts, progress and ends; `events`
 * holds usage events and their acknowledgements. Neither ever holds a prompt or an answer.
 *
 * - `{"s":<MeterStart>,"k":<completion tokens so far>}` a stream begins, or is carried forward
 * - `{"p":<reservation id>,"k":<completion tokens so far>}` progress
 * - `{"x":<reservation id>}` the stream has ended: its event is in `events`, or there is none
 * - `{"e":<UsageEvent>,"t":<traceparent>}` an event to publish, and the trace it belongs to, if any
 * - `{"a":<reservation id>}` JetStream has it
 */
const Count = Type.Integer({ minimum: 0 });
const StoredStart = Type.Object({
  reservationId: Type.String(),
  communityId: Type.String(),
  nftId: Type.String(),
  model: Type.String(),
  poolUsed: UsageEvent.properties.pool_used,
  personalityId: Type.String(),
  promptTokens: Count,
  traceparent: Type.Optional(Type.String()),
});
const Line = Type.Union([
  Type.Object({ s: StoredStart, k: Count }),
  Type.Object({ p: Type.String(), k: Count }),
  Type.Object({ x: Type.String() }),
  Type.Object({ e: UsageEvent, t: Type.Optional(Type.String()) }),
  Type.Object({ a: Type.String() }),
]);
type Line = Static<typeof Line>;
const line = Compile(Line);

export function startLine(start: MeterStart, completionTokens: number): string {
  return `${JSON.stringify({ s: start, k: completionTokens } satisfies Line)}\n`;
}
/** Reservation ids are UUIDs: nothing in them needs escaping. */
export function progressLine(reservationId: string, completionTokens: number): string {
  return `{"p":"${reservationId}","k":${completionTokens}}\n`;
}
export function endLine(reservationId: string): string {
  return `{"x":"${reservationId}"}\n`;
}
export function eventLine(event: UsageEvent, traceparent?: string): string {
  const line: Line = traceparent === undefined ? { e: event } : { e: event, t: traceparent };
  return `${JSON.stringify(line)}\n`;
}
export function ackLine(reservationId: string): string {
  return `{"a":"${reservationId}"}\n`;
}

/** One line, or undefined when it was torn by a crash or a full disk. */
export function parseLine(text: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return line.Check(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

interface UnfinishedStream {
  readonly start: MeterStart;
  readonly completionTokens: number;
}

interface LeftEvent {
  readonly event: UsageEvent;
  readonly traceparent: string | undefined;
  readonly segment: number;
}

/** What a dead process left: what to publish as it is, and what never came to its end. */
export interface Replay {
  /** By reservation id, with the segment that holds the event. */
  readonly events: ReadonlyMap<string, LeftEvent>;
  readonly unfinished: readonly UnfinishedStream[];
  readonly tornLines: number;
}

export interface SegmentText {
  readonly segment: number;
  readonly text: string;
}

/** Reads both journals, oldest segment first. */
export function replay(streams: readonly SegmentText[], events: readonly SegmentText[]): Replay {
  const state = new ReplayState();
  for (const { segment, text } of [...events, ...streams]) {
    for (const each of text.split('\n')) if (each !== '') state.apply(each, segment);
  }
  return state.result();
}

class ReplayState {
  readonly #open = new Map<string, UnfinishedStream>();
  readonly #events = new Map<string, LeftEvent>();
  readonly #acked = new Set<string>();
  #tornLines = 0;

  apply(text: string, segment: number): void {
    const parsed = parseLine(text);
    if (parsed === undefined) {
      this.#tornLines += 1;
    } else if ('s' in parsed) {
      this.#advance(parsed.s.reservationId, parsed.s, parsed.k);
    } else if ('p' in parsed) {
      this.#advance(parsed.p, undefined, parsed.k);
    } else if ('x' in parsed) {
      this.#open.delete(parsed.x);
    } else if ('e' in parsed) {
      const { e: event, t: traceparent } = parsed;
      this.#events.set(event.budget_reservation_id, { event, traceparent, segment });
    } else {
      this.#events.delete(parsed.a);
      this.#acked.add(parsed.a);
    }
  }

  #advance(id: string, start: MeterStart | undefined, tokens: number): void {
    const known = this.#open.get(id);
    const begun = start ?? known?.start;
    if (begun === undefined) return;
    const completionTokens = Math.max(known?.completionTokens ?? 0, tokens);
    this.#open.set(id, { start: begun, completionTokens });
  }

  result(): Replay {
    // The end of a stream may be missing after its event is there: the event is written first.
    const unfinished = [...this.#open.values()].filter(
      ({ start: { reservationId: id } }) => !this.#events.has(id) && !this.#acked.has(id),
    );
    return { events: this.#events, unfinished, tornLines: this.#tornLines };
  }
}
