export { MAX_MICRO, formatMicro, microForMetric, parseMicro, type Micro } from './micro.ts';
export {
  MINIMUM_CHARGE_MICRO,
  TOKENS_PER_PRICE_UNIT,
  completionTokensWithin,
  priceTokens,
  type TokenCount,
  type TokenPrice,
} from './price.ts';
