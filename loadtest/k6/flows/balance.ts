import { countStatus } from '../lib/metrics.ts';
import { get, jsonOf } from '../lib/target.ts';

/** Micro-credits. */
export interface Balance {
  readonly available: number;
  readonly held: number;
  readonly spent: number;
  readonly expired: number;
  readonly minted: number;
}

/** @returns `undefined` when there is no balance to read. */
export function readBalance(): Balance | undefined {
  const response = get('/api/v1/balance', 'balance');
  countStatus(response);
  const body = jsonOf(response);
  const read = (name: string): number => Number(body[name] ?? Number.NaN);
  const balance = {
    available: read('available'),
    held: read('held'),
    spent: read('spent'),
    expired: read('expired'),
    minted: read('minted'),
  };
  const isWhole = Object.values(balance).every((value) => Number.isSafeInteger(value));
  return response.status === 200 && isWhole ? balance : undefined;
}
