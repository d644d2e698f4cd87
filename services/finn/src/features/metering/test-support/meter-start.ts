import { uuidv7 } from '@arrakis/service-kit';
import type { MeterStart } from '../metering.ts';

/** A plausible start of a metered stream. */
export function meterStart(overrides: Partial<MeterStart> = {}): MeterStart {
  return {
    reservationId: uuidv7(),
    communityId: '0190a0a0-0000-7000-8000-000000000001',
    nftId: '1:0x00000000000000000000000000000000000000aa:7',
    model: 'fake-model',
    poolUsed: 'cheap',
    personalityId: 'p-1',
    promptTokens: 12,
    ...overrides,
  };
}
