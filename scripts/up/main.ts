import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { explain, PlainError } from '../lib/plain-error.ts';
import { endRunning } from '../lib/run.ts';
import { down } from './commands/down.ts';
import { keys } from './commands/keys.ts';
import { logs } from './commands/logs.ts';
import { model } from './commands/model.ts';
import { reset } from './commands/reset.ts';
import { status } from './commands/status.ts';
import { tools } from './commands/tools.ts';
import { up } from './commands/up.ts';
import { Report } from './report.ts';
import { locateFolders, type Folders } from './stack.ts';
import { dropLock } from './state.ts';

const folders = locateFolders();
const report = new Report(process.stdout);

/** What each command does; the exit code, where it isn't 0. */
const COMMANDS: Readonly<Record<string, (args: readonly string[]) => Promise<unknown>>> = {
  up: () => up(folders, report),
  down: () => down(folders, report),
  status: async () => ((await status(folders, report)) ? 0 : 1),
  logs: ([name]) => logs(folders, report, name),
  reset: () => reset(folders, report),
  model: () => model(folders, report),
  keys: ([script, ...args]) => keys(folders, script, args),
  tool: ([name, ...args]) => tools(folders, name, args),
};

async function main(command: string | undefined, args: readonly string[]): Promise<void> {
  const run = Object.hasOwn(COMMANDS, command ?? '') ? COMMANDS[command ?? ''] : undefined;
  if (run === undefined) {
    throw new PlainError(
      'usage: main.ts up | down | status | logs [process] | reset | model | keys … | tool …',
    );
  }
  const exitCode = await run(args);
  process.exitCode = typeof exitCode === 'number' ? exitCode : 0;
}

/** What began keeps running: the next make up adopts it. */
function onInterrupt(command: string | undefined, signal: NodeJS.Signals): void {
  endRunning();
  dropLock(folders);
  const step = report.interrupt();
  if (command === 'up' || command === 'down') {
    const where = step === undefined ? '' : ` in the step "${step}"`;
    report.print(`Interrupted${where}. What was started keeps running:`);
    report.print('  make up goes on from here, make down stops it.');
  }
  process.exit(signal === 'SIGINT' ? 130 : 143);
}

/** The whole story of a failure that the words may not tell. */
function keepDetails(error: unknown, { logs: folder }: Folders): string | undefined {
  try {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'make.log');
    appendFileSync(file, `${new Date().toISOString()} ${inspect(error)}\n`, { mode: 0o600 });
    return file;
  } catch {
    return undefined;
  }
}

const [command, ...args] = process.argv.slice(2);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  // A script that was handed the terminal hears the signal itself and ends in good order; its exit
  // code is ours.
  process.on(signal, () => {
    if (command !== 'keys' && command !== 'tool') onInterrupt(command, signal);
  });
}
try {
  await main(command, args);
} catch (error) {
  dropLock(folders);
  const plain = explain(error);
  report.explain(plain);
  if (plain !== error) {
    const file = keepDetails(error, folders);
    if (file !== undefined) report.print(`  Details: ${file}`);
  }
  process.exitCode = 1;
}
