import type { Row } from './scenario.ts';

/** The rows as a person reads them, scenario by scenario. */
export function renderTable(rows: readonly Row[], titles: ReadonlyMap<string, string>): string {
  const lines: string[] = [];
  let scenario = '';
  for (const row of rows) {
    if (row.scenario !== scenario) {
      scenario = row.scenario;
      lines.push('', titles.get(scenario) ?? scenario);
    }
    const seconds = `${row.seconds.toFixed(0)} s`.padStart(6);
    lines.push(`  ${row.ok ? 'ok    ' : 'FAILED'} ${seconds}  ${row.what}`);
    lines.push(...row.seen.split('\n').map((line) => `                   ${line}`));
  }
  const failed = rows.filter(({ ok }) => !ok).length;
  const sum =
    failed === 0 ? `All ${rows.length} were shown.` : `${failed} of ${rows.length} FAILED.`;
  return `${lines.join('\n')}\n\n${sum}\n`;
}
