import type { ServiceName } from '../../support/system.ts';
import type { FaultKind } from '../types.ts';
import { createPrng, type Prng } from '../world/prng.ts';
import { WIRE_NAMES } from '../world/wire-names.ts';

/** What can be planned. */
export type PlannedKind = Exclude<FaultKind, 'machine-starved'>;

/** A fault as the seed has it, before anything runs. */
export interface PlannedFault {
  /** After the load began. */
  readonly atMs: number;
  readonly kind: PlannedKind;
  readonly target: string;
  /** Until it is undone; 0 for what happens in one moment. */
  readonly lastsMs: number;
  /** What the kind makes of it: milliseconds of delay, events to publish, minutes of a clock step. */
  readonly amount: number;
}

export interface PlanForm {
  /** Of load. */
  readonly seconds: number;
  readonly faults: number;
  /** Shortest and longest SIGSTOP. */
  readonly freezeMs: readonly [number, number];
  /** No fault begins before, and all are undone when only this is left. */
  readonly calmMs: number;
}

export const FULL_FORM: PlanForm = {
  seconds: 75,
  faults: 16,
  freezeMs: [3_000, 40_000],
  calmMs: 6_000,
};
export const SHORT_FORM: PlanForm = {
  seconds: 18,
  faults: 6,
  freezeMs: [3_000, 8_000],
  calmMs: 2_500,
};

/** As often as a kind stands here it may come in one run. */
const DECK: readonly PlannedKind[] = [
  ...(['kill', 'kill', 'kill', 'freeze', 'freeze'] as const),
  ...(['postgres-crash', 'postgres-terminate'] as const),
  ...(['redis-restart', 'redis-flush', 'nats-restart', 'nats-wipe'] as const),
  ...(['wire-cut', 'wire-delay', 'wire-black-hole'] as const),
  ...(['events-doubled', 'events-late', 'events-reordered', 'clock-step'] as const),
];

const SERVICES: readonly [ServiceName, ...ServiceName[]] = [
  'api-1',
  'api-2',
  'finn-1',
  'finn-2',
  'worker-1',
];
/** Sessions of one database role, or of both. */
const SESSIONS = ['freeside_app', 'loa_finn_ro', 'everyone'] as const;

/** Kinds that a short run always has, because they find the most. */
const ALWAYS: readonly PlannedKind[] = ['kill', 'postgres-crash', 'events-doubled'];

/**
 * The schedule of a seed: the same faults at the same moments each time. Faults overlap, processes
 * and wires preferably those that no other fault has hold of, and each is undone before the calm at
 * the end.
 */
export function planFaults(seed: number, form: PlanForm): PlannedFault[] {
  const prng = createPrng(seed, 'faults');
  const kinds = chooseKinds(prng, form.faults);
  const beginMs = form.calmMs;
  const endMs = form.seconds * 1000 - form.calmMs;
  const slotMs = (endMs - beginMs) / (kinds.length + 1);
  const busyUntil = new Map<string, number>();
  return kinds
    .map((kind, slot): PlannedFault => {
      const lastsMs = chooseLength(prng, kind, form);
      const drawnMs = Math.round(beginMs + slotMs * (slot + prng.next()));
      const atMs = Math.max(beginMs, Math.min(drawnMs, endMs - lastsMs));
      const target = chooseTarget(prng, kind, (victim) => (busyUntil.get(victim) ?? 0) <= atMs);
      busyUntil.set(target, atMs + lastsMs + SUPERVISION_MS);
      return { atMs, kind, target, lastsMs, amount: chooseAmount(prng, kind) };
    })
    .sort((one, other) => one.atMs - other.atMs);
}

/** A process that was killed may take this long until it is ready again. */
const SUPERVISION_MS = 4_000;

function chooseKinds(prng: Prng, count: number): PlannedKind[] {
  const rest = [...DECK];
  const first = ALWAYS.map((kind) => rest.splice(rest.indexOf(kind), 1)[0] ?? kind);
  const drawn = prng.shuffled(rest).slice(0, Math.max(0, count - first.length));
  return prng.shuffled([...first, ...drawn].slice(0, count));
}

function chooseTarget(prng: Prng, kind: PlannedKind, isFree: (victim: string) => boolean): string {
  switch (kind) {
    case 'kill':
    case 'freeze':
      return firstFree(prng, SERVICES, isFree);
    case 'wire-cut':
    case 'wire-delay':
    case 'wire-black-hole':
      return firstFree(prng, WIRE_NAMES, isFree);
    case 'postgres-terminate':
      return prng.pick(SESSIONS);
    case 'postgres-crash':
    case 'clock-step':
      return 'postgres';
    case 'redis-restart':
    case 'redis-flush':
      return 'redis';
    case 'nats-restart':
    case 'nats-wipe':
    case 'events-doubled':
    case 'events-late':
    case 'events-reordered':
      return 'nats';
  }
}

function firstFree(
  prng: Prng,
  targets: readonly [string, ...string[]],
  isFree: (victim: string) => boolean,
): string {
  const order = prng.shuffled(targets);
  return order.find(isFree) ?? order[0] ?? targets[0];
}

function chooseLength(prng: Prng, kind: PlannedKind, form: PlanForm): number {
  switch (kind) {
    case 'freeze':
      return chooseFreeze(prng, form.freezeMs);
    case 'kill':
      return prng.int(500, 3_000);
    case 'postgres-crash':
      return prng.int(300, 4_000);
    case 'redis-restart':
    case 'nats-restart':
    case 'nats-wipe':
      return prng.int(200, 5_000);
    case 'wire-cut':
      return prng.int(0, 5_000);
    case 'wire-delay':
      return prng.int(2_000, 8_000);
    case 'wire-black-hole':
      return prng.int(1_000, 8_000);
    case 'postgres-terminate':
    case 'redis-flush':
    case 'events-doubled':
    case 'events-late':
    case 'events-reordered':
    case 'clock-step':
      return 0;
  }
}

/** Short ones more often: a long one hides whatever else happens to its victim. */
function chooseFreeze(prng: Prng, [least, most]: readonly [number, number]): number {
  return Math.round(least + (most - least) * prng.next() ** 2);
}

function chooseAmount(prng: Prng, kind: PlannedKind): number {
  if (kind === 'wire-delay') return prng.int(50, 800);
  if (kind === 'clock-step') return CLOCK_STEP_MINUTES;
  return kind.startsWith('events-') ? prng.int(5, 60) : 0;
}

/** Beyond both deadlines of a hold. */
const CLOCK_STEP_MINUTES = 6;
