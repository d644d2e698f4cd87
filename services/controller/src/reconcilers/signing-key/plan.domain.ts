import { findActive, findCandidate, type ActiveState } from './active.domain.ts';
import { advanceCandidate } from './candidate.domain.ts';
import { Draft, type Plan } from './draft.domain.ts';
import { retireSuperseded } from './retirement.domain.ts';
import { keepPublished } from './published.domain.ts';
import { isGood, madeAtMs, plusMs, recordOf, rowOf, type World } from './world.domain.ts';

/** More keys than this at once and something is wrong: the key set holds 32 of all issuers. */
const MAX_LIVE_KEYS = 8;

/**
 * What to do next about the keys of one issuer, without any I/O. At most one action or one question
 * comes out; whoever asks does it, reads the world again and asks again. So dying at any point leaves
 * nothing but a world to be read.
 *
 * The rules, in the order in which they are tried:
 *
 * 1. A wait that is shorter than the controller's floor starts nothing new.
 * 2. No key is active: the first key, or a recovery, needs no propagation, but only when no replica
 *    is ready, so that nobody signs with anything. Else the next key goes the long way.
 * 3. The choice was changed by hand: it is put back.
 * 4. What must verify is published, with its own public half, and far from expiry.
 * 5. The switch is done when every ready replica signs with the active key.
 * 6. What the active key replaced is retired after the overlap since then, when nobody signs with it.
 * 7. The next key goes its way: served, wait, canary, switch.
 * 8. A new one is made when it is time, or asked for.
 */
export function plan(world: World): Plan {
  const draft = new Draft(world);
  const active = findActive(world);
  const candidate = findCandidate(world, active);
  draft.begin(active, candidate);
  const refuses = world.spec.propagationWaitMs < world.minPropagationWaitMs;
  if (refuses) draft.refuse(world.minPropagationWaitMs);
  const steps = [
    () => recover(world, draft, active, candidate, refuses),
    () => putBack(draft, active),
    () => keepPublished(world, draft, active),
    () => seeSwitch(world, draft, active),
    () => retireSuperseded(world, draft, active, candidate),
    () =>
      refuses || candidate === undefined
        ? false
        : advanceCandidate(world, draft, active, candidate),
    () => (refuses || candidate !== undefined ? false : beginRotation(world, draft, active)),
  ];
  for (const step of steps) if (step()) break;
  return draft.finish(active, candidate);
}

/** True when the plan is complete. */
export type StepResult = boolean;

function recover(
  world: World,
  draft: Draft,
  active: ActiveState,
  candidate: string | undefined,
  refuses: boolean,
): StepResult {
  if (active.is !== 'none' && active.is !== 'lost') return false;
  if (active.is === 'lost') {
    draft.degrade('MaterialLost', `the private half of the active key ${active.kid} is gone`);
  }
  const { signers } = world.seen;
  if (signers === undefined) return draft.ask({ what: 'signers' });
  if (signers.unclear !== undefined) return draft.wait('SignersUnclear', signers.unclear);
  if (signers.replicas > 0) return adoptWhatSigns(world, draft, active, signers.kids);
  return refuses || beginAtOnce(world, draft, candidate);
}

/** Nobody signs: there is nothing that a new key could break. */
function beginAtOnce(world: World, draft: Draft, candidate: string | undefined): StepResult {
  const next = candidate ?? newestGood(world);
  if (next === undefined) {
    draft.tell(
      'Normal',
      'KeyBootstrapped',
      'made, published and activated the first key; nobody signs yet, so nothing has to propagate',
    );
    return draft.act({ do: 'bootstrap' });
  }
  const expiresAt = draft.fullLife();
  const row = rowOf(world, next);
  if (row === undefined) return draft.act({ do: 'publish', kid: next, expiresAt });
  if (!row.fits) return draft.act({ do: 'republish', kid: next, expiresAt });
  draft.tell(
    'Warning',
    'KeyActivatedAtOnce',
    `${next} signs from now on without propagation: no replica is ready, so nobody signs`,
  );
  return draft.act({ do: 'activate', kid: next, since: world.now });
}

/** Running replicas hold a key in memory: if it is at hand, the choice only got lost. */
function adoptWhatSigns(
  world: World,
  draft: Draft,
  active: ActiveState,
  kids: readonly string[],
): StepResult {
  const [kid, ...others] = new Set(kids);
  if (active.is !== 'none' || kid === undefined || others.length > 0 || !isGood(world, kid)) {
    return false;
  }
  draft.tell(
    'Warning',
    'ActiveKeyRestored',
    `no key was named as active; every replica signs with ${kid}`,
  );
  return draft.act({ do: 'activate', kid, since: world.now });
}

function newestGood(world: World): string | undefined {
  return world.secret.pems
    .filter((pem) => pem.isGood && recordOf(world, pem.kid)?.phase !== 'Retired')
    .map((pem) => pem.kid)
    .sort((a, b) => b.localeCompare(a))[0];
}

function putBack(draft: Draft, active: ActiveState): StepResult {
  if (active.is !== 'strayed') return false;
  draft.tell(
    'Warning',
    'ActiveKeyRestored',
    `the Secret named another active key; put back ${active.kid}`,
  );
  return draft.act({ do: 'activate', kid: active.kid, since: draft.activeSince(active.kid) });
}

function seeSwitch(world: World, draft: Draft, active: ActiveState): StepResult {
  if (active.is !== 'usable' || draft.record(active.kid).activatedAt !== undefined) return false;
  const { signers } = world.seen;
  if (signers === undefined) return draft.ask({ what: 'signers' });
  const lagging = signers.kids.filter((kid) => kid !== active.kid);
  if (signers.unclear !== undefined) draft.wait('SignersUnclear', signers.unclear);
  else if (signers.replicas === 0) draft.wait('NoSigners', 'no replica that signs is ready');
  else if (lagging.length > 0) {
    draft.wait('SwitchNotSeen', `replicas sign with ${[...new Set(lagging)].join(', ')} still`);
  } else {
    draft.set(active.kid, { activatedAt: world.now });
    draft.tell('Normal', 'SwitchSeen', `every ready replica signs with ${active.kid}`);
  }
  return false;
}

function beginRotation(world: World, draft: Draft, active: ActiveState): StepResult {
  const why = whyRotate(world, draft, active);
  if (why === undefined) return false;
  if (active.is === 'usable' && draft.record(active.kid).activatedAt === undefined) {
    return draft.wait(
      'SwitchNotSeen',
      'the last switch has not been seen yet; the next rotation waits for it',
    );
  }
  if (draft.liveKeys() >= MAX_LIVE_KEYS) {
    return draft.wait(
      'TooManyKeys',
      `${MAX_LIVE_KEYS} keys are alive; the next rotation waits until one has retired`,
    );
  }
  // Names order keys by their second: one made in the same second would not count as the next.
  const newestMs = Math.max(...world.secret.pems.map(({ kid }) => madeAtMs(kid)), 0);
  if (world.now.getTime() < newestMs + 1_000) {
    return draft.wait(
      'ClockBehind',
      'the newest key was made in this second or later; the next one waits for the clock',
      {
        isExpected: true,
      },
    );
  }
  draft.noteRequest();
  draft.tell('Normal', 'RotationStarted', why);
  return draft.act({ do: 'create' });
}

function whyRotate(world: World, draft: Draft, active: ActiveState): string | undefined {
  if (active.is === 'lost' || active.is === 'none') return 'the active key can not be used';
  if (draft.isRequestOpen()) return 'asked for by annotation';
  const since = active.is === 'usable' ? active.since : world.now;
  return plusMs(since, world.spec.rotationIntervalMs) <= world.now ? 'on schedule' : undefined;
}
