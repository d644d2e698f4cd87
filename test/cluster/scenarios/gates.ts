import type { GateName } from '../../../services/gonogo/src/gate.domain.ts';
import { runGate, runGates } from '../lib/gate-run.ts';
import { runJob } from '../lib/on-demand-job.ts';
import type { Platform } from '../lib/platform.ts';
import { must, type Scenario } from '../lib/scenario.ts';
import { SABOTAGES, type Sabotage } from './gate-sabotages.ts';

/** finn looks for keys again, breakers close, receipts settle: not at once, but soon. */
const GREEN_AFTER_RUNS = 8;

const NOT_BUILT: readonly GateName[] = ['payments', 'discord', 'dashboard', 'audit'];
/** What these wait for is shown elsewhere, or can't be had here. */
const MAY_BE_UNKNOWN: readonly GateName[] = [...NOT_BUILT, 'monitoring', 'rollback'];

/** The verdict on the platform as it was installed. */
const verdict: Scenario = {
  name: 'gates',
  title: 'The go/no-go gates as a Job',
  run: async ({ platform, show }) => {
    await show('all gates: nothing failed, what is not built is inconclusive', async () => {
      const { exitCode, report } = await runGates(platform);
      const amiss = report.gates.filter(
        ({ name, outcome }) =>
          outcome === 'fail' || (outcome === 'inconclusive' && !MAY_BE_UNKNOWN.includes(name)),
      );
      must(amiss.length === 0, amiss.map(({ name, seen }) => `${name}: ${seen}`).join('; '));
      must(exitCode === 2, `it exited with ${exitCode}, not with 2 (inconclusive)`);
      return report.gates
        .map(({ name, outcome, seen }) => `${name} ${outcome}: ${seen}`)
        .join('\n');
    });
  },
};

/** Breaks what a gate guards: it must turn red, and green again once that is mended. */
function sabotaged(sabotage: Sabotage): Scenario {
  const { gate, what, reason, prepare, breakIt } = sabotage;
  return {
    name: `gate-${gate}`,
    title: `The gate ${gate} against ${what}`,
    run: async ({ platform, show, onEnd }) => {
      const undos: (() => Promise<unknown>)[] = [];
      const later = (undo: () => Promise<unknown>): void => void undos.unshift(undo);
      const mend = async (): Promise<void> => {
        for (let undo = undos.shift(); undo !== undefined; undo = undos.shift()) await undo();
      };
      onEnd(mend);
      if (prepare !== undefined) {
        const undo = await prepare(platform);
        onEnd(undo);
        await show('green before', () => mustPass(platform, gate));
      }
      await show('red', async () => {
        await breakIt(platform, later);
        const { exitCode, result } = await runGate(platform, gate);
        must(result.outcome === 'fail', `${result.outcome}: ${result.seen}`);
        must(exitCode === 1, `it exited with ${exitCode}, not with 1 (no-go)`);
        must(reason.test(result.reason ?? ''), `for another reason: ${result.reason ?? 'none'}`);
        return result.reason ?? '';
      });
      await show('green again once it is mended', async () => {
        await mend();
        return mustPass(platform, gate);
      });
    },
  };
}

async function mustPass(platform: Platform, gate: GateName): Promise<string> {
  let seen = '';
  for (let run = 1; run <= GREEN_AFTER_RUNS; run += 1) {
    const { exitCode, result } = await runGate(platform, gate);
    seen = result.seen;
    if (result.outcome !== 'pass') continue;
    must(exitCode === 0, `passed, but exited with ${exitCode}`);
    return run === 1 ? seen : `${seen} (at the run ${run})`;
  }
  throw new Error(seen);
}

/** The load tests as a Job. */
const load: Scenario = {
  name: 'load',
  title: 'The load tests as a Job',
  run: async ({ platform: { kube }, show }) => {
    const smoke = { LOAD_SCENARIO: 'smoke' };
    await show('smoke passes', async () => {
      const { exitCode, log } = await runJob(kube, 'arrakis-load', smoke);
      must(exitCode === 0 && log.includes('smoke: pass'), log.slice(0, 2000));
      return /answers .*/.exec(log)?.[0] ?? '';
    });
    await show('a wrong address fails', async () => {
      const nowhere = { ...smoke, BASE_URL: 'http://nowhere:3000' };
      const { exitCode, log } = await runJob(kube, 'arrakis-load', nowhere);
      must(exitCode !== 0 && log.includes('smoke: fail'), `exit ${exitCode}: ${log.slice(0, 500)}`);
      return `exit code ${exitCode}`;
    });
    await show('a wrong key fails', async () => {
      const { exitCode, log } = await runJob(kube, 'arrakis-load', { ...smoke, API_KEY: 'none' });
      must(exitCode !== 0 && log.includes('smoke: fail'), `exit ${exitCode}: ${log.slice(0, 500)}`);
      return `exit code ${exitCode}`;
    });
  },
};

/** In their order: the gates as they are, each against its sabotage, the load. */
export const gateScenarios: readonly Scenario[] = [verdict, ...SABOTAGES.map(sabotaged), load];
