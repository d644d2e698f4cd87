import { conclude, type Gate, type Json } from '../gate.domain.ts';
import { ask, at } from '../probes/http.client.ts';
import type { Replicas } from '../probes/replicas.domain.ts';

export interface HealthOptions {
  readonly freesideUrl: string;
  readonly finnUrls: readonly string[];
  /** The admin address of every replica, and what is wrong with their number. */
  readonly replicas: (signal: AbortSignal) => Promise<Replicas>;
  readonly deadlineMs: number;
}

interface Look {
  readonly url: string;
  readonly status: number | null;
  readonly says: string;
  readonly isWell: boolean;
}

/** Silence is an answer here: what can't be reached isn't healthy. */
export function healthGate(options: HealthOptions): Gate {
  return {
    name: 'health',
    asks: 'do freeside and finn answer /health, and is every replica ready',
    deadlineMs: options.deadlineMs,
    whenLate: 'fail',
    async run(signal) {
      const replicas = await options.replicas(signal);
      const public_ = [options.freesideUrl, ...options.finnUrls].map((url) => `${url}/health`);
      const admin = replicas.adminUrls.map((url) => `${url}/readyz`);
      const looks = await Promise.all([
        ...public_.map((url) => look(url, 'ok', signal)),
        ...admin.map((url) => look(url, 'ready', signal)),
      ]);
      const wrong = [
        ...replicas.missing,
        ...looks.filter(({ isWell }) => !isWell).map(({ url, says }) => `${url}: ${says}`),
      ];
      return conclude(
        { wrong, unclear: [] },
        `${String(public_.length)} /health, ${String(admin.length)} replicas ready`,
        { looks: looks as unknown as Json, missing: replicas.missing, from: replicas.from },
      );
    },
  };
}

async function look(url: string, expected: string, signal: AbortSignal): Promise<Look> {
  try {
    const { status, json } = await ask(url, { signal });
    const says = at(json, 'status');
    // Somebody else's server says 200 to everything; ours says this word.
    const isWell = status === 200 && says === expected;
    const word = typeof says === 'string' ? says : 'nothing known';
    return { url, status, says: isWell ? word : `${String(status)}, ${word}`, isWell };
  } catch (error) {
    const says = error instanceof Error ? error.message.replace(`${url} `, '') : 'was not asked';
    return { url, status: null, says, isWell: false };
  }
}
