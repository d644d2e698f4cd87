import {
  problem,
  TIER_POOLS,
  type ChatMessage,
  type InferenceRequest,
  type Pool,
  type ProblemCode,
  type S2SClaims,
} from '@arrakis/contracts';
import { LIMITS } from '@arrakis/contracts';
import { isUnavailable } from '@arrakis/postgres';
import type { FinnEvents } from '../../events.ts';
import type { Metering } from '../metering/metering.ts';
import type { Personality, PersonalityService } from '../personality/service.ts';
import type { PoolService } from '../pools/service.ts';
import type { S2SAuthService } from '../s2s-auth/service.ts';
import { CallEnded, type Answer } from './answer.ts';
import { InferenceRun } from './run.ts';
import { conversation } from './request.domain.ts';
