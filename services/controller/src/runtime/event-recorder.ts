import type { ApiClient } from '../kubernetes/api.client.ts';
import { EVENTS, type KubeObject } from '../kubernetes/objects.ts';

export interface ObjectEvent {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, from a closed list; what an operator filters by. */
  readonly reason: string;
  /** One sentence. Never key material. */
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly api: ApiClient;
  /** `reportingController`. */
  readonly controller: string;
  /** `reportingInstance`. */
  readonly instance: string;
  readonly onError: (error: unknown) => void;
  readonly now?: () => Date;
  readonly repeatAfterMs?: number;
}

const REPEAT_AFTER_MS = 3_600_000;
const MAX_REMEMBERED = 5_000;
const MAX_NOTE = 1_000;

/** Tells the story of an object; the same sentence about the same object once an hour. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  /** What was told, and when, in the order of telling. */
  readonly #told = new Map<string, number>();
  #count = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  /** Never rejects: a story that can't be told stops nothing. */
  async record(about: KubeObject, event: ObjectEvent): Promise<void> {
    const { api, controller, instance, onError, now } = this.#options;
    const time = now?.() ?? new Date();
    if (!this.#isNews(about, event, time.getTime())) return;
    const { name, namespace = '', uid, resourceVersion } = about.metadata;
    this.#count += 1;
    try {
      await api.create(EVENTS, {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: {
          name: `${name}.${time.getTime().toString(16)}.${process.pid.toString(16)}${this.#count.toString(16)}`,
          namespace,
        },
        eventTime: time.toISOString().replace('Z', '000Z'),
        reportingController: controller,
        reportingInstance: instance.slice(0, 128),
        action: 'Reconcile',
        reason: event.reason,
        type: event.type,
        note: event.note.slice(0, MAX_NOTE),
        regarding: {
          apiVersion: about.apiVersion,
          kind: about.kind,
          name,
          namespace,
          uid,
          resourceVersion,
        },
      } as KubeObject);
    } catch (error) {
      this.#told.delete(keyOf(about, event));
      onError(error);
    }
  }

  #isNews(about: KubeObject, event: ObjectEvent, nowMs: number): boolean {
    const key = keyOf(about, event);
    const toldAt = this.#told.get(key);
    const repeatAfterMs = this.#options.repeatAfterMs ?? REPEAT_AFTER_MS;
    if (toldAt !== undefined && nowMs - toldAt < repeatAfterMs) return false;
    this.#told.delete(key);
    this.#told.set(key, nowMs);
    const [oldest] = this.#told.keys();
    if (this.#told.size > MAX_REMEMBERED && oldest !== undefined) this.#told.delete(oldest);
    return true;
  }
}

function keyOf(about: KubeObject, event: ObjectEvent): string {
  return [about.metadata.uid, event.type, event.reason, event.note].join('\n');
}
