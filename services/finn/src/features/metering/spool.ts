import { mkdirSync } from 'node:fs';
import type { UsageEvent } from '@arrakis/contracts';
import {
  ackLine,
  endLine,
  eventLine,
  progressLine,
  replay,
  startLine,
  type Replay,
} from './journal.domain.ts';
import { SpoolFullError, type MeterStart } from './metering.ts';
import { SegmentLog } from './segment-log.ts';
import { lockSpool } from './spool-lock.ts';
import { recoveredEvent } from './usage-event.domain.ts';

const MAX_SEGMENT_BYTES = 4 * 1024 * 1024;
const MIN_SEGMENT_BYTES = 8 * 1024;
/** What a running stream may still need: carrying it forward, its event, its end and its ack. */
const STREAM_RESERVE_BYTES = 2048;

export interface SpoolOptions {
  /** Created when missing; one process at a time. */
  readonly dir: string;
  /** Starts are refused before the files could outgrow this; running streams always fit. */
  readonly maxBytes: number;
  readonly now: () => Date;
  /** The disk refused a write. What had to be written is kept in memory and tried again. */
  readonly onWriteError: (error: unknown) => void;
}

/** A stream under way. */
export interface SpoolEntry {
  readonly start: MeterStart;
  completionTokens: number;
}

interface Pending {
  readonly event: UsageEvent;
  readonly traceparent: string | undefined;
  /** The segment that holds the event; undefined while the disk refuses it. */
  segment: number | undefined;
  readonly bytes: number;
}

/**
 * The journal of all streams and their usage events, so that neither a `kill -9` nor an outage of
 * NATS loses a count. Starts and events are written before the call returns; progress and
 * acknowledgements of one event-loop turn share a write.
 *
 * Two logs: `streams` is short-lived and rewritten whole when a segment is full (only running
 * streams matter); `events` keeps what JetStream has not acknowledged, oldest segment first, so
 * that an acknowledgement never vanishes before the event it is about.
 */
export class Spool {
  /** Streams of a dead predecessor whose end it never saw. */
  readonly recovered: number;
  readonly #options: SpoolOptions;
  readonly #segmentBytes: number;
  readonly #unlock: () => void;
  readonly #streams: SegmentLog;
  readonly #events: SegmentLog;
  readonly #open = new Map<string, SpoolEntry>();
  readonly #pending = new Map<string, Pending>();
  /** Bytes of unacknowledged events by segment. */
  readonly #liveBytes = new Map<number, number>();
  /** Streams whose event is not on the disk yet: their start must stay in `streams`. */
  readonly #unwritten = new Map<string, SpoolEntry>();
  readonly #dirty = new Set<SpoolEntry>();
  #acks = '';
  #flush: NodeJS.Immediate | undefined;
  #carriedBytes = 0;
  #isRefused = false;

  /** @throws SpoolLockedError; the file system's error when the directory can't be used. */
  constructor(options: SpoolOptions) {
    this.#options = options;
    this.#segmentBytes = Math.min(
      MAX_SEGMENT_BYTES,
      Math.max(MIN_SEGMENT_BYTES, Math.floor(options.maxBytes / 8)),
    );
    mkdirSync(options.dir, { recursive: true, mode: 0o700 });
    this.#unlock = lockSpool(options.dir);
    try {
      this.#streams = new SegmentLog(options.dir, 'streams');
      this.#events = new SegmentLog(options.dir, 'events');
      this.recovered = this.#recover(replay(this.#streams.readAll(), this.#events.readAll()));
    } catch (error) {
      this.#unlock();
      throw error;
    }
  }

  /** Size of all files. */
  get bytes(): number {
    return this.#streams.bytes + this.#events.bytes;
  }

  /** Events that JetStream has not acknowledged. */
  get pending(): number {
    return this.#pending.size;
  }

  /** The same, oldest first. */
  *pendingEvents(): Generator<UsageEvent> {
    for (const { event } of this.#pending.values()) yield event;
  }

  /** Of the trace that the pending event of this reservation belongs to. */
  traceparentOf(reservationId: string): string | undefined {
    return this.#pending.get(reservationId)?.traceparent;
  }

  /** @throws SpoolFullError */
  begin(start: MeterStart): SpoolEntry {
    const id = start.reservationId;
    if (this.#open.has(id) || this.#unwritten.has(id)) {
      throw new Error('this reservation is being metered already');
    }
    const reserved = (this.#open.size + 1) * STREAM_RESERVE_BYTES + 2 * this.#segmentBytes;
    if (this.bytes + reserved > this.#options.maxBytes) throw new SpoolFullError();
    if (this.#isRefused) this.#reclaim();
    this.#retryUnwritten();
    if (this.#unwritten.size > 0 || !this.#append(this.#streams, startLine(start, 0))) {
      throw new SpoolFullError();
    }
    const entry: SpoolEntry = { start, completionTokens: 0 };
    this.#open.set(id, entry);
    this.#rotateStreamsWhenFull();
    return entry;
  }

  progress(entry: SpoolEntry, completionTokens: number): void {
    if (!this.#isOpen(entry) || completionTokens <= entry.completionTokens) return;
    entry.completionTokens = completionTokens;
    this.#dirty.add(entry);
    this.#scheduleFlush();
  }

  finish(entry: SpoolEntry, event: UsageEvent): void {
    if (!this.#isOpen(entry)) return;
    this.#dirty.delete(entry);
    this.#open.delete(entry.start.reservationId);
    this.#addEvent(entry, event);
    this.#rotateEventsWhenFull();
    this.#rotateStreamsWhenFull();
  }

  /** Ends the stream without an event. */
  abandon(entry: SpoolEntry): void {
    if (!this.#isOpen(entry)) return;
    this.#dirty.delete(entry);
    this.#open.delete(entry.start.reservationId);
    this.#append(this.#streams, endLine(entry.start.reservationId));
  }

  /** JetStream has the event of this reservation. */
  acked(reservationId: string): void {
    const pending = this.#pending.get(reservationId);
    if (pending === undefined) return;
    this.#pending.delete(reservationId);
    this.#unwritten.delete(reservationId);
    if (pending.segment === undefined) {
      // The start is still in the journal and would be taken for an unfinished stream.
      this.#append(this.#streams, endLine(reservationId));
      return;
    }
    this.#addLiveBytes(pending.segment, -pending.bytes);
    this.#acks += ackLine(reservationId);
    this.#scheduleFlush();
  }

  /** Writes what waits for the end of the turn, and gives the directory back. */
  close(): void {
    clearImmediate(this.#flush);
    this.#flushNow();
    this.#streams.close();
    this.#events.close();
    this.#unlock();
  }

  #isOpen(entry: SpoolEntry): boolean {
    return this.#open.get(entry.start.reservationId) === entry;
  }

  #recover({ events, unfinished }: Replay): number {
    for (const [id, { event, traceparent, segment }] of events) {
      const bytes = Buffer.byteLength(eventLine(event, traceparent));
      this.#pending.set(id, { event, traceparent, segment, bytes });
      this.#addLiveBytes(segment, bytes);
    }
    const leftBehind = this.#streams.sealedSegments;
    for (const { start, completionTokens } of unfinished) {
      const event = recoveredEvent(start, completionTokens, this.#options.now());
      this.#addEvent({ start, completionTokens }, event);
    }
    if (this.#unwritten.size === 0) this.#streams.drop(leftBehind);
    this.#dropAcknowledged();
    return unfinished.length;
  }

  /** The event first, the stream's end after it: between the two a crash finds both. */
  #addEvent(entry: SpoolEntry, event: UsageEvent): void {
    const { reservationId: id, traceparent } = entry.start;
    const line = eventLine(event, traceparent);
    const bytes = Buffer.byteLength(line);
    const pending: Pending = { event, traceparent, segment: undefined, bytes };
    this.#pending.set(id, pending);
    if (!this.#append(this.#events, line)) {
      this.#unwritten.set(id, entry);
      return;
    }
    pending.segment = this.#events.activeSegment;
    this.#addLiveBytes(pending.segment, bytes);
    this.#append(this.#streams, endLine(id));
  }

  #retryUnwritten(): void {
    for (const [id, entry] of this.#unwritten) {
      const pending = this.#pending.get(id);
      if (pending === undefined) return;
      const { event, traceparent } = pending;
      if (!this.#append(this.#events, eventLine(event, traceparent))) return;
      pending.segment = this.#events.activeSegment;
      this.#addLiveBytes(pending.segment, pending.bytes);
      this.#unwritten.delete(id);
      this.#append(this.#streams, endLine(entry.start.reservationId));
    }
  }

  #scheduleFlush(): void {
    this.#flush ??= setImmediate(() => this.#flushNow());
  }

  #flushNow(): void {
    this.#flush = undefined;
    if (this.#dirty.size > 0) {
      let lines = '';
      for (const { start, completionTokens } of this.#dirty) {
        lines += progressLine(start.reservationId, completionTokens);
      }
      this.#dirty.clear();
      // A refused progress is superseded by the next one.
      this.#append(this.#streams, lines);
      this.#rotateStreamsWhenFull();
    }
    if (this.#acks !== '') {
      // Kept when refused: a lost one costs a duplicate after a crash, which settles nothing.
      if (this.#append(this.#events, this.#acks)) this.#acks = '';
      this.#rotateEventsWhenFull();
      this.#dropAcknowledged();
    }
  }

  #rotateStreamsWhenFull(): void {
    // Carrying everything forward must not fill the new segment at once.
    const fullBytes = Math.max(this.#segmentBytes, 2 * this.#carriedBytes);
    if (this.#streams.activeBytes >= fullBytes) this.#rotateStreams();
  }

  #rotateStreams(): void {
    if (!this.#attempt(() => this.#streams.rotate())) return;
    let lines = '';
    for (const { start, completionTokens } of [
      ...this.#open.values(),
      ...this.#unwritten.values(),
    ]) {
      lines += startLine(start, completionTokens);
    }
    if (lines !== '' && !this.#append(this.#streams, lines)) return;
    this.#carriedBytes = this.#streams.activeBytes;
    this.#attempt(() => this.#streams.drop(this.#streams.sealedSegments));
  }

  #rotateEventsWhenFull(): void {
    if (this.#events.activeBytes < this.#segmentBytes) return;
    if (!this.#attempt(() => this.#events.rotate())) return;
    this.#dropAcknowledged();
    this.#compactEvents();
  }

  /** The disk refused a write: gives up whatever is not needed, at any size, before the next. */
  #reclaim(): void {
    this.#isRefused = false;
    if (this.#events.activeBytes > 0) this.#attempt(() => this.#events.rotate());
    this.#dropAcknowledged();
    if (this.#streams.activeBytes > 0) this.#rotateStreams();
    this.#compactEvents();
    this.#flushNow();
  }

  #dropAcknowledged(): void {
    for (const segment of this.#events.sealedSegments) {
      if ((this.#liveBytes.get(segment) ?? 0) > 0) return;
      if (!this.#attempt(() => this.#events.drop([segment]))) return;
      this.#liveBytes.delete(segment);
    }
  }

  /** A few unacknowledged events must not keep whole segments: the files stay below twice them. */
  #compactEvents(): void {
    for (const segment of this.#events.sealedSegments) {
      const liveBytes = this.#liveBytes.get(segment) ?? 0;
      if (liveBytes * 2 > this.#events.sizeOf(segment)) return;
      const carried = [...this.#pending.values()].filter((each) => each.segment === segment);
      const lines = carried.map(({ event, traceparent }) => eventLine(event, traceparent)).join('');
      if (lines !== '' && !this.#append(this.#events, lines)) return;
      for (const each of carried) each.segment = this.#events.activeSegment;
      this.#addLiveBytes(this.#events.activeSegment, liveBytes);
      this.#addLiveBytes(segment, -liveBytes);
      this.#dropAcknowledged();
    }
  }

  #addLiveBytes(segment: number, bytes: number): void {
    this.#liveBytes.set(segment, (this.#liveBytes.get(segment) ?? 0) + bytes);
  }

  #append(log: SegmentLog, lines: string): boolean {
    return this.#attempt(() => log.append(lines));
  }

  #attempt(change: () => void): boolean {
    try {
      change();
      return true;
    } catch (error) {
      this.#isRefused = true;
      this.#options.onWriteError(error);
      return false;
    }
  }
}
