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
import { up } from './commands/up.ts';
import { Report } from './report.ts';
import { locateFolders, type Folders } from './stack.ts';
import { dropLock } from './state.ts';

const folders = locateFolders();
const report = new Report(process.stdout);

async function main(command: string | undefined, args: readonly string[]): Promise<void> {
  switch (command) {
    case 'up':
      return up(folders, report);
    case 'down':
      return down(folders, report);
    case 'status':
      if (!(await status(folders, report))) process.exitCode = 1;
      return;
    case 'logs':
      return logs(folders, report, args[0]);
    case 'reset':
      return reset(folders, report);
    case 'model':
      return model(folders, report);
    case 'keys':
      process.exitCode = await keys(folders, args[0], args.slice(1));
      return;
    case undefined:
    default:
      throw new PlainError(
        'usage: main.ts up | down | status | logs [process] | reset | model | keys …',
      );
  }
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
  // A key script hears the signal itself and ends in good order; its exit code is ours.
  process.on(signal, () => {
    if (command !== 'keys') onInterrupt(command, signal);
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
