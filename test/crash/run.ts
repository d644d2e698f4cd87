import { setTimeout as pause } from 'node:timers/promises';
import { audit } from './audit/audit.ts';
import { auditRepetition } from './audit/repetition.ts';
import { startSnapshotChecks } from './audit/snapshot.ts';
import { FULL_FORM, SHORT_FORM, planFaults } from './faults/plan.ts';
import { runFaults, type FaultRun } from './faults/run-faults.ts';
import { supervise, type UnexpectedEnd } from './faults/supervisor.ts';
import { startLoad } from './load/clients.ts';
import { startProvider } from './load/provider.ts';
import { writeReport } from './report/files.ts';
import { historyOf } from './report/history.ts';
import { recoveryVerdicts } from './report/recovery-verdicts.ts';
import { renderReport } from './report/render.ts';
import { warningsOf } from './report/service-logs.ts';
import { serviceVerdicts } from './report/service-verdicts.ts';
import { SABOTAGES } from './sabotage/catalogue.ts';
import type { CrashOptions, CrashReport, Evidence, Verdict } from './types.ts';
import { quiesce } from './world/quiesce.ts';
import { settlePayments } from './world/settle-payments.ts';
import { signsOfLife } from './world/signs-of-life.ts';
import { watchStarvation, withoutVictims } from './world/starvation.ts';
import { startWorld, type BreakableWorld } from './world/world.ts';

const CLIENTS = { full: 50, short: 24 } as const;

/**
 * One run: a world, load on it, the faults of the seed; then healing, rest, and the audit. Writes
 * the report to `.arrakis/crash/`.
 *
 * @throws when the world can't be started
 */
export async function runCrash(options: CrashOptions): Promise<CrashReport> {
  const say = options.onProgress ?? (() => undefined);
  const sabotage = options.sabotage === undefined ? undefined : SABOTAGES[options.sabotage];
  if (options.sabotage !== undefined && sabotage === undefined) {
    throw new Error(
      `no sabotage ${options.sabotage}; there are ${Object.keys(SABOTAGES).join(', ')}`,
    );
  }
  say('starting PostgreSQL, Redis, NATS, two apis, two finns and a worker');
  const world = await startWorld({
    seed: options.seed,
    durable: !options.short,
    dir: options.dir,
    sabotage,
    startProvider,
  });
  try {
    return await crash(world, options, say);
  } finally {
    say('stopping everything');
    await world.stop();
  }
}

interface Outcome {
  readonly evidence: Evidence;
  readonly verdicts: Verdict[];
  /** What the services logged. */
  readonly warnings: readonly string[];
}

async function crash(
  world: BreakableWorld,
  options: CrashOptions,
  say: (line: string) => void,
): Promise<CrashReport> {
  const form = options.short ? SHORT_FORM : FULL_FORM;
  const seconds = options.seconds ?? form.seconds;
  const { evidence, verdicts, warnings } = await loadAndBreak(world, { ...options, seconds }, say);
  verdicts.push(...serviceVerdicts(evidence), ...recoveryVerdicts(evidence));
  say('waiting for every usage event and every hold');
  const rest = await comeToRest(world, options.short ? 'short' : 'production');
  verdicts.push(rest);
  say('auditing the books');
  verdicts.push(...(await audit(world, evidence)));
  if (rest.ok) {
    say('running every job again, replaying every usage event and every notice');
    verdicts.push(...(await auditRepetition(world, evidence)));
  }
  const broken = verdicts.find((verdict) => !verdict.ok && verdict.broken !== undefined)?.broken;
  const input = {
    seed: options.seed,
    form: options.short ? 'short' : 'full',
    sabotage: options.sabotage,
    seconds,
    ...evidence,
    verdicts,
    history: broken === undefined ? [] : await historyOf(world, broken, evidence),
  };
  const text = renderReport(input);
  say(`report in ${await writeReport(input, text, warnings)}`);
  const ok = verdicts.every((verdict) => verdict.ok);
  return { seed: options.seed, ok, verdicts, faults: evidence.faults, text };
}

async function loadAndBreak(
  world: BreakableWorld,
  options: CrashOptions & { readonly seconds: number },
  say: (line: string) => void,
): Promise<Outcome> {
  const form = { ...(options.short ? SHORT_FORM : FULL_FORM), seconds: options.seconds };
  const plan = planFaults(options.seed, form);
  const clients = options.short ? CLIENTS.short : CLIENTS.full;
  say(`${clients} clients for ${options.seconds} s, ${plan.length} faults`);
  const supervisor = supervise(world.system);
  const starvation = watchStarvation(signsOfLife(world));
  const snapshots = startSnapshotChecks(world);
  const load = startLoad(world, { seed: options.seed, clients });
  const [faults] = await Promise.all([
    runFaults(plan, { world, supervisor }, say),
    pause(options.seconds * 1000),
  ]);
  say('ending the load');
  world.provider.calm();
  const calls = await load.stop();
  const snapshotVerdicts = await snapshots.stop();
  const starved = withoutVictims(await starvation.stop(), faults.records);
  await supervisor.close();
  say('hearing the vendor out');
  const payments = await hearVendorOut(world);
  return {
    evidence: {
      calls,
      provider: world.provider.records(),
      payments: { ...load.market(), answered: [...world.shop.answered()] },
      faults: [...faults.records, ...starved].sort((a, b) => a.startedAtMs - b.startedAtMs),
    },
    verdicts: [
      allCarriedOut(faults),
      nobodyDied(supervisor.unexpectedEnds()),
      ...snapshotVerdicts,
      payments,
    ],
    warnings: warningsOf(supervisor.processes()),
  };
}

function allCarriedOut({ records, failures }: FaultRun): Verdict {
  return {
    invariant: 'every fault was carried out and undone',
    ok: failures.length === 0,
    detail: failures.length === 0 ? `${records.length} faults` : failures.join('; '),
  };
}

function nobodyDied(ends: readonly UnexpectedEnd[]): Verdict {
  return {
    invariant: 'no process of ours ends unless it is killed',
    ok: ends.length === 0,
    detail:
      ends.length === 0 ? 'none did' : ends.map(({ name, how }) => `${name}: ${how}`).join('; '),
  };
}

/** Its notices, and what it gave up telling. */
async function hearVendorOut(world: BreakableWorld): Promise<Verdict> {
  const invariant = 'a payment of which no notice came is found by asking the vendor';
  try {
    const isToldAll = await world.shop.giveUp();
    const found = await settlePayments(world);
    const left = isToldAll ? 'every notice was taken' : 'the vendor gave some notices up';
    return { invariant, ok: true, detail: `${left}; ${found} payments were asked about` };
  } catch (error) {
    return { invariant, ok: false, detail: String(error) };
  }
}

async function comeToRest(
  world: BreakableWorld,
  patience: 'production' | 'short',
): Promise<Verdict> {
  const invariant = 'every usage event is consumed and every hold ends within its deadline';
  try {
    const { agedHolds, tookMs } = await quiesce(world, patience);
    const detail = `after ${tookMs} ms; ${agedHolds} holds were ended by a deadline`;
    return { invariant, ok: true, detail };
  } catch (error) {
    return { invariant, ok: false, detail: String(error) };
  }
}
