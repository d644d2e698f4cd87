import type { Micro } from '@arrakis/money';
import type { Queryable } from '@arrakis/postgres';
import * as store from './store.ts';

export interface MintLot {
  readonly communityId: string;
  readonly amountMicro: Micro;
  readonly source: 'seed' | 'grant' | 'purchase';
  /** What mints it; the same reference never mints twice. */
  readonly sourceRef: string;
  readonly expiresAt: Date | null;
}

/** Credits a community once per `sourceRef`; `minted` is false when it had been done before. */
export function mintLot(db: Queryable, lot: MintLot): Promise<{ lotId: string; minted: boolean }> {
  return store.mintLot(db, lot);
}
