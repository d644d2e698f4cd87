import { TIERS, TIER_POOLS } from '@arrakis/contracts';
import { createLogger, createRegistry } from '@arrakis/service-kit';
import type { S2STokenSubject } from '@arrakis/signing-keys';
import { createReservationEvents } from '../../../../services/freeside/src/features/reservations/events.ts';
import { orphanJob } from '../../../../services/freeside/src/features/reservations/reservation.job.ts';
import { ReservationService } from '../../../../services/freeside/src/features/reservations/service.ts';
import type { Market } from '../../payments/types.ts';
import type { Community, World } from '../../types.ts';
import type { ObservedCall } from '../call.ts';
import { markedPrompt } from '../chat-request.ts';
import { releaseAnswer } from '../provider.ts';
import { finishNeverTold, finishToldTwiceAtOnce } from './finishes.ts';
import { refundOfWhatWasSpent } from './spent-refund.ts';
import {
  SCENARIO_MARKER,
  call,
  letSixMinutesPass,
  lockBooks,
  richCommunity,
  settlesInTime,
  untilAsked,
  untilHeld,
  untilServed,
  untilWaitingForLock,
  withStage,
  type Stage,
} from './stage.ts';

const BURST = 24;

/**
 * Moments that chance hits too rarely, brought about on purpose, each guarded by one rule of the
 * product. They run when the faults are over; the audit judges them as it judges everything else.
 *
 * @returns what their clients were told; what is bought is noted in the market
 */
export function playScenarios(world: World, market: Market): Promise<readonly ObservedCall[]> {
  return withStage(world, async (stage) => {
    const rich = [...new Set([0, 1, 2].map((turn) => richCommunity(stage, turn)))];
    for (const replica of world.apis.keys()) {
      await Promise.all(rich.map((community) => untilServed(stage, community, replica)));
    }
    await moreThanThereIs(stage);
    await commitLostAfterDelivery(stage);
    await settlementBehindTheOrphanJob(stage);
    await answerAfterTheOrphanJob(stage);
    await tokenUsedAgain(stage);
    await finishToldTwiceAtOnce(stage, market);
    await finishNeverTold(stage, market);
    await refundOfWhatWasSpent(stage, market);
  });
}

/** Many requests at once, over all replicas, for a community that can pay for few of them at most. */
async function moreThanThereIs(stage: Stage): Promise<void> {
  const poor = stage.world.communities.find((community) => community.poor);
  if (poor === undefined) return;
  const { length: replicas } = stage.world.apis;
  await Promise.all(
    Array.from({ length: BURST }, (_none, index) =>
      call(stage, poor, {
        marker: `burst-${String(index)}`,
        plan: 'brisk',
        stream: index % 3 === 0,
        replica: index % replicas,
        maxTokens: 1_200,
      }),
    ),
  );
}

/**
 * The client has left, so that only finn's event brings the count; and the worker's session ends
 * between delivery and commit. The event has to come again.
 */
async function commitLostAfterDelivery(stage: Stage): Promise<void> {
  const community = richCommunity(stage, 0);
  const marker = 'lost-commit';
  const calling = call(stage, community, {
    marker,
    plan: 'steady',
    stream: true,
    leaves: { afterPieces: 24 },
  });
  await untilAsked(stage, marker);
  const reservationId = await untilHeld(stage, community, 'streaming');
  const unlock = await lockBooks(stage, community);
  try {
    await calling;
    await untilWaitingForLock(stage, 'freeside-worker');
    await stage.admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE application_name = 'freeside-worker' AND wait_event_type = 'Lock'`,
    );
  } finally {
    await unlock();
  }
  await settlesInTime(stage, reservationId);
}

/** The job has chosen a hold that a settlement then ends before the job may write. */
async function settlementBehindTheOrphanJob(stage: Stage): Promise<void> {
  const community = richCommunity(stage, 1);
  const marker = 'orphan-race';
  const calling = call(stage, community, { marker, plan: 'held', stream: false });
  await untilAsked(stage, marker);
  const reservationId = await untilHeld(stage, community, 'reserved');
  const unlock = await lockBooks(stage, community);
  let job: Promise<unknown> = Promise.resolve();
  try {
    releaseAnswer(stage.world.provider, SCENARIO_MARKER + marker);
    await untilWaitingForLock(stage, 'freeside-api');
    await letSixMinutesPass(stage, reservationId);
    job = runOrphanJob(stage.world);
    await untilWaitingForLock(stage, 'crash-audit');
  } finally {
    await unlock();
  }
  await job;
  await calling;
  await settlesInTime(stage, reservationId);
}

/** The hold was given back while its answer was still being made; then the answer comes. */
async function answerAfterTheOrphanJob(stage: Stage): Promise<void> {
  const community = richCommunity(stage, 2);
  const marker = 'late-answer';
  const calling = call(stage, community, { marker, plan: 'held', stream: false, replica: 1 });
  await untilAsked(stage, marker);
  const reservationId = await untilHeld(stage, community, 'reserved');
  await letSixMinutesPass(stage, reservationId);
  await runOrphanJob(stage.world);
  releaseAnswer(stage.world.provider, SCENARIO_MARKER + marker);
  await calling;
  await settlesInTime(stage, reservationId);
}

/** Somebody who reached finn's port asks again under a reservation that was answered. */
async function tokenUsedAgain(stage: Stage): Promise<void> {
  const community = richCommunity(stage, 0);
  const marker = 'replay';
  const served = await call(stage, community, { marker, plan: 'brisk', stream: false });
  if (served.requestId === undefined) throw new Error('the call to be replayed was not answered');
  const subject: S2STokenSubject = {
    nftId: community.agents[0].nftId,
    tier: tierOf(community),
    pool: community.agents[0].pool,
    communityId: community.id,
    reservationId: served.requestId,
  };
  const token = await stage.world.system.command(
    'test/crash/load/scenarios/sign-token.ts',
    JSON.stringify(subject),
  );
  for (const { url } of stage.world.system.members.filter(({ kind }) => kind === 'finn')) {
    const answer = await fetch(`${url ?? ''}/api/v1/inference`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        prompt: markedPrompt(SCENARIO_MARKER + marker, 'brisk'),
        max_tokens: 600,
        stream: false,
      }),
    });
    await answer.body?.cancel();
    if (![200, 401, 409].includes(answer.status)) {
      throw new Error(`finn answered ${answer.status} to a token that was used before`);
    }
  }
}

/** The worker's own job, on a service of its own, so that it runs at this moment. */
async function runOrphanJob({ auditDb }: World): Promise<void> {
  const logger = createLogger({ service: 'crash-test', level: 'silent' });
  const events = createReservationEvents(createRegistry('crash-test'), logger);
  await orphanJob(new ReservationService({ db: auditDb, events })).run();
}

/** Communities have one agent for each pool of their tier. */
function tierOf({ agents }: Community): S2STokenSubject['tier'] {
  const tier = TIERS.find((one) => TIER_POOLS[one].mayUse.length === agents.length);
  if (tier === undefined) throw new Error(`no tier has ${agents.length} pools`);
  return tier;
}
