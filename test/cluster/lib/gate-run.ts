import type { GateName } from '../../../services/gonogo/src/gate.domain.ts';
import type {
  GateResult,
  Report,
  SignedReport,
} from '../../../services/gonogo/src/report/report.schema.ts';
import { verifyReport } from '../../../services/gonogo/src/report/verify.ts';
import { runJob } from './on-demand-job.ts';
import type { Platform } from './platform.ts';
import { must } from './scenario.ts';

export interface GateRun {
  readonly exitCode: number;
  readonly report: Report;
}

/**
 * Runs some of the gates, or all, as an operator does: a Job whose report is the last line of its log.
 *
 * @throws Error when there is no report, or it is not what was signed.
 */
export async function runGates(platform: Platform, ...gates: GateName[]): Promise<GateRun> {
  const env: Readonly<Record<string, string>> =
    gates.length === 0 ? {} : { GONOGO_GATES: gates.join(',') };
  const { exitCode, log } = await runJob(platform.kube, 'arrakis-gonogo', env);
  const line = log.trimEnd().split('\n').at(-1) ?? '';
  const faults = verifyReport(line);
  must(faults.length === 0, `the report: ${faults.join(', ')}; the log ends: ${log.slice(-400)}`);
  return { exitCode, report: (JSON.parse(line) as SignedReport).report };
}

/** One gate alone. */
export async function runGate(
  platform: Platform,
  gate: GateName,
): Promise<{ readonly exitCode: number; readonly result: GateResult }> {
  const { exitCode, report } = await runGates(platform, gate);
  const [result] = report.gates;
  must(result?.name === gate && report.gates.length === 1, `not only ${gate} was asked`);
  return { exitCode, result };
}
