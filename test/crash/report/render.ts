import type { PaymentEvidence } from '../payments/types.ts';
import type { CallRecord, FaultRecord, Verdict } from '../types.ts';
import { clock } from './history.ts';

export interface ReportInput {
  readonly seed: number;
  readonly form: string;
  readonly sabotage: string | undefined;
  readonly seconds: number;
  readonly calls: readonly CallRecord[];
  readonly faults: readonly FaultRecord[];
  readonly payments: PaymentEvidence;
  readonly verdicts: readonly Verdict[];
  /** Of the first broken account; empty when all is well. */
  readonly history: readonly string[];
}

/** The report as a person reads it. */
export function renderReport(input: ReportInput): string {
  const broken = input.verdicts.filter(({ ok }) => !ok);
  const title = `crash test, seed ${input.seed}, ${input.form} form`;
  return [
    `${title}${input.sabotage === undefined ? '' : `, sabotaged: ${input.sabotage}`}`,
    '',
    ...renderFaults(input.faults),
    '',
    ...renderCalls(input.calls, input.seconds),
    ...renderPayments(input.payments),
    '',
    ...input.verdicts.map(
      ({ ok, invariant, detail }) =>
        `${ok ? '  ok  ' : 'BROKEN'}  ${invariant}\n          ${detail}`,
    ),
    '',
    broken.length === 0
      ? `All ${input.verdicts.length} invariants hold.`
      : `${broken.length} of ${input.verdicts.length} invariants are broken.`,
    ...(input.history.length === 0
      ? []
      : ['', 'History of the first broken account:', ...input.history]),
    '',
  ].join('\n');
}

function renderFaults(faults: readonly FaultRecord[]): string[] {
  const starved = faults.filter(({ kind }) => kind === 'machine-starved');
  const ours = faults.filter(({ kind }) => kind !== 'machine-starved');
  const lines = ours.map(({ kind, target, detail, startedAtMs, healedAtMs }) => {
    const seconds = lasted({ startedAtMs, healedAtMs }).toFixed(1).padStart(5);
    return `${clock(startedAtMs)} ${seconds} s  ${kind.padEnd(18)} ${target.padEnd(22)} ${detail}`;
  });
  if (starved.length === 0) return lines;
  const longest = Math.max(...starved.map(lasted)).toFixed(1);
  const note = `The machine left a process without time to run ${starved.length} times, ${longest} s at most.`;
  return [...lines, '', note];
}

function lasted({
  startedAtMs,
  healedAtMs,
}: Pick<FaultRecord, 'startedAtMs' | 'healedAtMs'>): number {
  return (healedAtMs - startedAtMs) / 1000;
}

function renderPayments({ purchases, answered }: PaymentEvidence): string[] {
  const endings = Map.groupBy(purchases, ({ history }) => history.at(-1) ?? 'waiting');
  const shares = [...endings].map(([status, { length }]) => `${length} ${status}`).join(', ');
  return [`${purchases.length} purchases: ${shares}; ${answered.length} notices taken`];
}

function renderCalls(calls: readonly CallRecord[], seconds: number): string[] {
  const counts = new Map<string, number>();
  for (const { outcome, status } of calls) {
    const name = outcome === 'refused' ? `refused ${String(status)}` : outcome;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const shares = [...counts].sort(([, one], [, other]) => other - one);
  const text = shares.map(([name, count]) => `${count} ${name}`).join(', ');
  return [`${calls.length} calls in ${seconds} s: ${text}`];
}
