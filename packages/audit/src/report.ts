import type { Verdict } from './verify-export.ts';

/** For the shell. */
export const EXIT = {
  intact: 0,
  broken: 1,
  usage: 2,
  /** The trail is intact, and a checkpoint in it says that the books did not balance. */
  unbalanced: 3,
} as const;

export function exitCodeOf({ broken, summary }: Verdict): number {
  if (broken !== undefined || summary === undefined) return EXIT.broken;
  return summary.unbalanced > 0 ? EXIT.unbalanced : EXIT.intact;
}

/** In words, one fact a line. `keys`: how many were given. */
export function describeVerdict({ broken, summary, after }: Verdict, keys: number): string {
  if (broken !== undefined || summary === undefined) return describeBroken(broken);
  const { head, records, checkpoints, signed, lastSigned, uncompared } = summary;
  const begins = (after?.sequence ?? 0n) + 1n;
  const lines = [
    `intact: ${records} records and ${checkpoints} checkpoints, sequences ${begins} to ${head.sequence}`,
  ];
  if (begins > 1n) {
    lines.push('it does not begin at the beginning: what came before was not checked');
  }
  lines.push(describeSignatures(signed, checkpoints, lastSigned, keys));
  if (lastSigned !== undefined && lastSigned.sequence < head.sequence) {
    lines.push(`nothing vouches yet for what comes after sequence ${lastSigned.sequence}`);
  }
  if (uncompared !== undefined) {
    lines.push(
      `NOT COMPARED with the books: ${uncompared.communities} communities, since sequence ${uncompared.since}; a later checkpoint will state them`,
    );
  }
  if (summary.firstUnbalanced !== undefined) {
    lines.push(
      `THE BOOKS DID NOT BALANCE at ${summary.unbalanced} checkpoints, first at sequence ${summary.firstUnbalanced}`,
    );
  }
  lines.push(`head ${head.sequence}:${head.hash}`);
  return lines.join('\n');
}

function describeBroken(broken: Verdict['broken']): string {
  if (broken === undefined) return 'broken: there is nothing to verify';
  const { line, sequence, code, detail } = broken;
  return `broken at line ${line} (sequence ${sequence}, ${code}): ${detail}`;
}

function describeSignatures(
  signed: number,
  checkpoints: number,
  last: { readonly sequence: bigint; readonly kid: string } | undefined,
  keys: number,
): string {
  if (last === undefined) {
    return 'UNSIGNED: the chain holds together, but nothing shows who made it';
  }
  const count = `${signed} of ${checkpoints} checkpoints are signed, the last at sequence ${last.sequence} by ${last.kid}`;
  return keys === 0 ? `${count}; NOT CHECKED, no key was given` : `${count}; all valid`;
}
