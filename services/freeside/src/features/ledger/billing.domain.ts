import type { Micro } from '@arrakis/money';

export interface Lot {
  readonly id: string;
  readonly source: string;
  readonly originalMicro: Micro;
  readonly remainingMicro: Micro;
  readonly expiresAt: Date | null;
  readonly createdAt: Date;
}

export interface Balance {
  readonly availableMicro: Micro;
  readonly heldMicro: Micro;
  readonly spentMicro: Micro;
  readonly expiredMicro: Micro;
  readonly mintedMicro: Micro;
  /** What refunds took back, and what they could not and is still owed. */
  readonly refundedMicro: Micro;
  readonly debtMicro: Micro;
  readonly lots: readonly Lot[];
}

export interface Receipt {
  readonly requestId: string;
  readonly status: string;
  readonly nftId: string;
  readonly pool: string;
  readonly poolUsed: string | null;
  readonly model: string | null;
  readonly personalityId: string | null;
  readonly priceVersion: number;
  readonly holdMicro: Micro;
  readonly chargeMicro: Micro;
  readonly writtenOffMicro: Micro;
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  readonly settledBy: string | null;
  readonly corrected: boolean;
  readonly createdAt: Date;
  readonly settledAt: Date | null;
}

export interface Equation {
  readonly communityId: string;
  readonly equation: string;
  readonly driftMicro: Micro;
}
