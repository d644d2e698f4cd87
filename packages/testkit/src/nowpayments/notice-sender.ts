import { setTimeout as pause } from 'node:timers/promises';
import { signNotice } from './sign-notice.ts';

/** How notices travel; the first attempt of each at once, in order, until a 2xx. */
export interface DeliveryPlan {
  /** Copies of every notice. Default 1. */
  readonly copies?: number;
  /** Before the first attempt. */
  readonly delayMs?: number;
  /** Waits before the second, third … attempt; after the last the vendor gives up. */
  readonly retryMs?: readonly number[];
  /** How many notices are held back and then sent in reverse. Default 1: none. */
  readonly reorder?: number;
  /** Of an attempt; the vendor waits three seconds. */
  readonly timeoutMs?: number;
}

export interface NoticeAttempt {
  readonly paymentStatus: string;
  readonly url: string;
  /** 0 when nobody answered in time. */
  readonly status: number;
}

export interface Notice {
  readonly url: string;
  readonly paymentStatus: string;
  readonly body: object;
}

const DEFAULT_RETRY_MS = [100, 300, 1_000, 3_000];
const ANSWER_TIMEOUT_MS = 3_000;

/** Sends signed notices the way the vendor does. */
export class NoticeSender {
  readonly #secret: string;
  readonly attempts: NoticeAttempt[] = [];
  readonly #closed = new AbortController();
  readonly #underway = new Set<Promise<void>>();
  #held: Notice[] = [];
  plan: DeliveryPlan = {};

  constructor(secret: string) {
    this.#secret = secret;
  }

  send(notice: Notice): void {
    this.#held.push(notice);
    if (this.#held.length < (this.plan.reorder ?? 1)) return;
    this.flush();
  }

  /** Sends what is held back. */
  flush(): void {
    const { copies = 1 } = this.plan;
    const notices = this.#held.reverse();
    this.#held = [];
    for (const notice of notices) {
      for (let copy = 0; copy < copies; copy += 1) this.#start(notice);
    }
  }

  /** Resolves when every notice was taken or given up. */
  async settled(): Promise<void> {
    while (this.#underway.size > 0) await Promise.all(this.#underway);
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.settled();
  }

  #start(notice: Notice): void {
    const delivery = this.#deliver(notice, this.plan).catch(() => undefined);
    this.#underway.add(delivery);
    void delivery.then(() => this.#underway.delete(delivery));
  }

  async #deliver(notice: Notice, plan: DeliveryPlan): Promise<void> {
    const waits = [plan.delayMs ?? 0, ...(plan.retryMs ?? DEFAULT_RETRY_MS)];
    for (const waitMs of waits) {
      if (waitMs > 0) await pause(waitMs, undefined, { signal: this.#closed.signal });
      const status = await this.#attempt(notice, plan.timeoutMs ?? ANSWER_TIMEOUT_MS);
      this.attempts.push({ paymentStatus: notice.paymentStatus, url: notice.url, status });
      if (status >= 200 && status < 300) return;
    }
  }

  async #attempt(notice: Notice, timeoutMs: number): Promise<number> {
    try {
      const response = await fetch(notice.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-nowpayments-sig': signNotice(notice.body, this.#secret),
        },
        body: JSON.stringify(notice.body),
        redirect: 'error',
        signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#closed.signal]),
      });
      await response.arrayBuffer();
      return response.status;
    } catch {
      return 0;
    }
  }
}
