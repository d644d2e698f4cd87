import type { BenchDocument } from './document.ts';

/** Where, when and with what: no figure without it. */
export function headline({ date, kind, rounds, machine, versions, rows }: BenchDocument): string[] {
  const noise = rows.flatMap((row) => row.rounds.map((round) => round.othersPercent ?? 0));
  const worst = Math.max(0, ...noise);
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${date.slice(0, 16).replace('T', ' ')} UTC; ${machine.cores} × ${machine.cpu}, ${machine.memoryGib} GiB; generator, provider and everything else on the same machine`,
    list.join(', '),
    `${kind} run, medians of ${rounds} rounds; other processes of the machine took up to ${worst.toFixed(0)} % of it during a measurement`,
  ];
}
