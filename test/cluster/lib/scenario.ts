import type { Platform } from './platform.ts';

/** A story about the installed platform, told in steps that each show one thing. */
export interface Scenario {
  /** As `--only` takes it. */
  readonly name: string;
  readonly title: string;
  run(stage: Stage): Promise<void>;
}

export interface Stage {
  readonly platform: Platform;
  /**
   * Shows one thing. What `look` returns stands in the table beside it: a figure, or what was seen.
   *
   * @throws what `look` throws, after it is noted: the rest of the scenario builds upon it.
   */
  readonly show: (what: string, look: () => Promise<string>) => Promise<void>;
  /** Undone when the scenario is over, however it went; the last one first. */
  readonly onEnd: (undo: () => Promise<unknown>) => void;
  /** A line for whoever watches. */
  readonly say: (line: string) => void;
}

/** A row of the table. */
export interface Row {
  readonly scenario: string;
  readonly what: string;
  readonly ok: boolean;
  /** What was seen, or why it failed. */
  readonly seen: string;
  readonly seconds: number;
}

/** Runs a scenario to its end or its first failure. @returns its rows, failures included. */
export async function runScenario(
  scenario: Scenario,
  platform: Platform,
  say: (line: string) => void,
): Promise<Row[]> {
  const rows: Row[] = [];
  const undos: (() => Promise<unknown>)[] = [];
  const note = (what: string, ok: boolean, seen: string, beganAtMs: number): void => {
    const seconds = (performance.now() - beganAtMs) / 1000;
    rows.push({ scenario: scenario.name, what, ok, seen, seconds });
    say(`${ok ? 'ok    ' : 'FAILED'} ${what}: ${seen}`);
  };
  /** Notes a failure of what is not inside a `show`. */
  const guarded = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    const beganAtMs = performance.now();
    await work().catch((error: unknown) => {
      if (!(error instanceof ShownFailure)) note(what, false, inWords(error), beganAtMs);
    });
  };
  await guarded('goes to its end', () =>
    scenario.run({
      platform,
      say,
      onEnd: (undo) => undos.unshift(undo),
      show: async (what, look) => {
        const beganAtMs = performance.now();
        try {
          note(what, true, await look(), beganAtMs);
        } catch (error) {
          note(what, false, inWords(error), beganAtMs);
          throw new ShownFailure(what, { cause: error });
        }
      },
    }),
  );
  for (const undo of undos) await guarded('cleans up', undo);
  return rows;
}

/** It stands in the table already. */
class ShownFailure extends Error {}

function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // What a wait met last says more than that it waited.
  const isWait = error.message.startsWith('not within') && error.cause instanceof Error;
  const cause = isWait ? ` (${(error.cause as Error).message.trim()})` : '';
  return `${error.message.trim()}${cause}`;
}

/** A condition of a step. @throws Error with `otherwise` when it doesn't hold. */
export function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
