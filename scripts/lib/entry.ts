import { explain } from './plain-error.ts';

/**
 * Runs a script: its outcome is the exit code, and a failure is told in words. `process.exitCode`
 * rather than `process.exit`, so that what was printed arrives.
 */
export async function runScript(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const plain = explain(error);
    process.stderr.write(`${[`${name}: ${plain.message}`, ...plain.advice].join('\n  ')}\n`);
    process.exitCode = 1;
  }
}

/** A line of a script's result. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
