import type { GateResult, Report } from './report.schema.ts';

const WIDTH = 72;
const MAX_REASONS = 20;
const MARKS = { pass: 'pass', fail: 'FAIL', inconclusive: '?' } as const;
const WORDS = {
  go: 'GO',
  'no-go': 'NO-GO',
  inconclusive: 'NO-GO (inconclusive: nothing failed, but not everything could be shown)',
} as const;

/** The report for people: a line a gate, then in full what was not passed, then the verdict. */
export function renderTable(report: Report): string {
  const rows = report.gates.map((gate) => [
    gate.name,
    MARKS[gate.outcome],
    seenBy(gate),
    String(gate.durationMs),
  ]);
  const head = ['gate', 'outcome', 'seen', 'ms'];
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) => (at === 3 ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join('  ');
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  const partial =
    report.scope === 'partial' ? ` (partial: ${String(rows.length)} of 11 gates)` : '';
  return [
    line(head),
    rule,
    ...rows.map(line),
    '',
    ...report.gates.flatMap(whyNot),
    `${WORDS[report.verdict]}${partial}, ${report.target}, signed by ${report.signedBy} ${report.key.kid}`,
  ].join('\n');
}

function seenBy({ outcome, seen, reason }: GateResult): string {
  const text = outcome === 'pass' ? seen : (reason ?? seen);
  const flat = text.replace(/\s+/g, ' ');
  return flat.length > WIDTH ? `${flat.slice(0, WIDTH - 1)}…` : flat;
}

/** One line a reason; gates join several by semicolons. */
function whyNot({ name, outcome, reason }: GateResult): string[] {
  if (outcome === 'pass') return [];
  const reasons = (reason ?? 'without a reason').split('; ').slice(0, MAX_REASONS);
  return [...reasons.map((one) => `${name} (${outcome}): ${one}`), ''];
}
