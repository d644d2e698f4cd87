import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FLAG_DEFAULTS, type FlagName } from '@arrakis/contracts';
import { natsOptions } from '@arrakis/nats';
import { providedBackends, startNats, type RunningNats } from '@arrakis/testkit';
import { connect } from '@nats-io/transport-node';
import { Registry } from 'prom-client';
import { createFlags, type Flags } from '../flags.ts';
import { openFlagsBucket, readFlags, writeFlags } from '../write-flags.ts';

/** A NATS of its own, to be killed and to lose its store. */
export interface NatsWorld {
  readonly url: string;
  kill(): Promise<void>;
  restart(): Promise<void>;
  loseStore(): Promise<void>;
  drop(): Promise<void>;
}

export async function startNatsWorld(): Promise<NatsWorld> {
  const { runDir } = await providedBackends();
  const storeDir = await mkdtemp(join(runDir, 'flags-nats-'));
  let running: RunningNats = await startNats({ storeDir });
  const { url, port, monitorPort } = running;
  return {
    url,
    kill: () => running.kill(),
    restart: async () => {
      running = await startNats({ storeDir, port, monitorPort });
    },
    loseStore: () => rm(join(storeDir, 'jetstream'), { recursive: true }),
    drop: async () => {
      await running.kill();
      await rm(storeDir, { recursive: true, force: true });
    },
  };
}

let revisions = 0;

/** Says it as a writer does, with the other flags on; returns the revision. */
export async function say(
  url: string,
  name: FlagName,
  value: boolean,
  changedAtMs = Date.now(),
): Promise<string> {
  revisions += 1;
  const revision = `test-${revisions}`;
  const connection = await connect(natsOptions(url, 'writer'));
  try {
    const bucket = await openFlagsBucket(connection);
    const { sequence } = await readFlags(bucket);
    const flags = { ...FLAG_DEFAULTS, [name]: value };
    await writeFlags(bucket, { flags, revision, changedAtMs }, sequence);
  } finally {
    await connection.close();
  }
  return revision;
}

/** Puts bytes into the bucket that no writer of ours would. */
export async function saySomething(url: string, text: string): Promise<void> {
  const connection = await connect(natsOptions(url, 'vandal'));
  try {
    await (await openFlagsBucket(connection)).put('flags', text);
  } finally {
    await connection.close();
  }
}

export interface Instance {
  readonly flags: Flags;
  readonly registry: Registry;
  readonly log: string[];
  /** A sample of its metrics. */
  readonly metric: (
    name: string,
    labels?: Readonly<Record<string, string>>,
  ) => Promise<number | undefined>;
}

export function createInstance(options: {
  readonly natsUrl?: string;
  readonly dir?: string;
  readonly now?: () => number;
}): Instance {
  const registry = new Registry();
  const log: string[] = [];
  const note = (fields: object, message: string): void => {
    log.push(`${message} ${JSON.stringify(fields)}`);
  };
  const flags = createFlags({
    ...options,
    clientName: 'test',
    registry,
    log: { info: note, warn: note },
  });
  return {
    flags,
    registry,
    log,
    async metric(name, labels = {}) {
      const text = await registry.metrics();
      const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      const line = text
        .split('\n')
        .find(
          (one) => /^\w+/.exec(one)?.[0] === name && wanted.every((label) => one.includes(label)),
        );
      return line === undefined ? undefined : Number(line.split(' ').at(-1));
    },
  };
}
