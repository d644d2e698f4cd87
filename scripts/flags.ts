import { randomUUID } from 'node:crypto';
import { FLAG_NAMES, isFlagName, parseFlag, type FlagName } from '@arrakis/contracts';
import {
  openFlagsBucket,
  readFlags,
  writeFlags,
  type FlagsBucket,
  type StoredFlags,
} from '@arrakis/flags';
import { natsOptions } from '@arrakis/nats';
import { connect } from '@nats-io/transport-node';
import { EXIT, UsageError, runCommand, type ExitCode } from './keys/command-line.ts';
import { requiredSecretEnv } from './lib/env.ts';

/**
 * Feature flags without a cluster: writes the bucket that every service watches. Where the
 * controller runs, the ConfigMap is the truth, and the controller's next word replaces this one.
 */
const USAGE = `Usage: node scripts/flags.ts <command>

  list                          what the bucket says
  set <FLAG> true|false         in effect within 2 seconds everywhere

Flags: ${FLAG_NAMES.join(', ')}
Environment: NATS_URL`;

interface Setting {
  readonly name: FlagName;
  readonly value: boolean;
}
type Command = 'help' | 'list' | Setting;

/** @throws UsageError */
function parse([command, ...rest]: readonly string[]): Command {
  switch (command) {
    case 'help':
    case '--help':
    case '-h':
      return 'help';
    case 'list':
      none(rest);
      return 'list';
    case 'set':
      return parseSet(rest);
    case undefined:
      throw new UsageError('Say what to do.');
    default:
      throw new UsageError('There is no such command.');
  }
}

function parseSet([name = '', text = '', ...rest]: readonly string[]): Setting {
  none(rest);
  if (!isFlagName(name)) throw new UsageError('There is no such flag.');
  const value = parseFlag(text);
  if (value === undefined) throw new UsageError('A flag is exactly true or false.');
  return { name, value };
}

function none(rest: readonly string[]): void {
  if (rest.length > 0) throw new UsageError('There are more arguments than the command takes.');
}

async function main(args: readonly string[]): Promise<ExitCode> {
  const command = parse(args);
  if (command === 'help') {
    console.log(USAGE);
    return EXIT.ok;
  }
  const url = requiredSecretEnv('NATS_URL', 'where the flags are kept');
  const connection = await connect({ ...natsOptions(url, 'flags command'), reconnect: false });
  try {
    const bucket = await openFlagsBucket(connection);
    const stored = await readFlags(bucket);
    if (command === 'list') show(stored);
    else await set(bucket, stored, command);
    return EXIT.ok;
  } finally {
    await connection.close();
  }
}

/** Fails rather than overwrites when somebody else wrote since it was read. */
async function set(
  bucket: FlagsBucket,
  stored: StoredFlags,
  { name, value }: Setting,
): Promise<void> {
  const said = {
    flags: { ...stored.flags, [name]: value },
    revision: `command-${randomUUID()}`,
    changedAtMs: Date.now(),
  };
  await writeFlags(bucket, said, stored.sequence);
  console.log(`${name} is ${String(value)} (it was ${String(stored.flags[name])}).`);
}

function show({ statement, flags }: StoredFlags): void {
  for (const name of FLAG_NAMES) console.log(`${name.padEnd(32)} ${String(flags[name])}`);
  console.log(
    statement === undefined
      ? 'Nobody has said anything yet: these are the defaults.'
      : `Said ${new Date(statement.changedAtMs).toISOString()}, revision ${statement.revision ?? '-'}.`,
  );
}

await runCommand(USAGE, () => main(process.argv.slice(2)));
