import { parseArguments, USAGE } from './arguments.domain.ts';
import { list, run, verify } from './commands.ts';
import { toConfig, type GonogoConfig } from './config/config.ts';
import { readEnv } from './config/env.ts';
import { createGates } from './gates/catalogue.ts';

/** A command that could not be carried out says nothing about the platform: no gate failed. */
const NOT_RUN = 2;

function configOf(report: string | undefined): GonogoConfig {
  const config = toConfig(readEnv());
  return report === undefined ? config : { ...config, reportFile: report };
}

async function main(args: readonly string[]): Promise<number> {
  const command = parseArguments(args);
  const print = (line: string): unknown => process.stdout.write(`${line}\n`);
  switch (command.kind) {
    case 'refused':
      process.stderr.write(`${command.reason}\n${USAGE}\n`);
      return NOT_RUN;
    case 'list':
      list(createGates(configOf(undefined), undefined), print);
      return 0;
    case 'verify':
      return verify(command.file, command.signer, print);
    case 'run': {
      const config = configOf(command.report);
      return run(config, command.gates ?? config.gates, print);
    }
  }
}

// The first process of a container ignores what it doesn't handle, and would wait out its grace.
process.once('SIGTERM', () => process.exit(NOT_RUN));

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = NOT_RUN;
}
