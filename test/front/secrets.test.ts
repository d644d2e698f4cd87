import { readFile } from 'node:fs/promises';
import { waitFor } from '@arrakis/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Canaries, type Finding, type Origin } from './secrets/canaries.ts';
import { dumpTables } from './secrets/exporters.ts';
import { breakThings, drain, misuseCommands, refuseToStart } from './secrets/outages.ts';
import { sellCredits } from './secrets/payments.ts';
import { setStage, type Stage } from './secrets/stage.ts';
import {
  createTalker,
  exhaust,
  failVendors,
  poisonEvents,
  sendBadBodies,
  sendBadKeys,
  sendBadPaths,
  speakAsNeighbour,
  succeed,
  type Talker,
} from './secrets/traffic.ts';
import { TRAP_MODES } from './secrets/vendor-trap.ts';

const EVERYTHING: readonly Origin[] = ['secret', 'client', 'message'];
const OURS_OR_CLIENTS: readonly Origin[] = ['secret', 'client'];

let stage: Stage;
let isSet = false;
let talker: Talker;
let refusals: string[];
let tables: { rows: number; text: string };
let commandLines: string[];

/** A full run: everything that can succeed, be refused and fail, up to the end of each process. */
beforeAll(async () => {
  stage = await setStage();
  isSet = true;
  const revoked = await stage.createApiKey('--name', 'revoked');
  const apiKey = await stage.createApiKey('--rpm', '100000', '--tpd', '1000000000');
  await stage.command('scripts/keys/api-key.ts', ['revoke', revoked.slice(0, -33)]);
  talker = createTalker(stage, apiKey);
  const scene = { talker, stage };
  commandLines = await Promise.all(
    stage.processes.map(({ process: { pid } }) => commandLineOf(pid)),
  );
  await succeed(scene);
  await stage.look();
  await poisonEvents(scene);
  await sendBadBodies(scene);
  await sendBadPaths(scene);
  await sendBadKeys(scene, revoked);
  await speakAsNeighbour(scene);
  await exhaust(scene);
  await sellCredits(scene);
  await failVendors(scene);
  await stage.look();
  await breakThings(scene);
  await misuseCommands(stage);
  refusals = await refuseToStart(stage);
  await allSettled();
  await stage.look();
  tables = await dumpTables(stage.database.adminUrl);
  await drain(scene);
}, 420_000);

afterAll(async () => {
  // Without a stage the failure of setting it is what is to be seen.
  if (isSet) await stage.stop();
});

/** So that what a late settlement writes is there, too, and what can't be settled is parked. */
async function allSettled(): Promise<void> {
  await waitFor(
    () =>
      (
        stage.taps.nats
          .bytes()
          .toString('latin1')
          .match(/inference\.usage\.parked/g) ?? []
      ).length >= 5,
    { timeoutMs: 30_000, what: 'the parking of five events' },
  );
}

async function commandLineOf(pid: number): Promise<string> {
  return readFile(`/proc/${String(pid)}/cmdline`, 'latin1').catch(() => '');
}

function leaks(text: string | Buffer, origins: readonly Origin[] = EVERYTHING): Finding[] {
  return stage.canaries.find(text, origins);
}

function answersWith(
  condition: (status: number) => boolean,
): readonly { what: string; text: string }[] {
  return talker.heard.filter(({ status }) => condition(status));
}

describe('the run', () => {
  it('really took each way, so that there was something to leak everywhere', () => {
    const statuses = new Set(talker.heard.map(({ status }) => status));
    const expected = [0, 200, 201, 400, 401, 402, 403, 404, 405, 413, 414, 415, 422, 429, 431, 503];
    expect([...statuses]).toEqual(expect.arrayContaining(expected));
    expect(stage.canaries.count).toBeGreaterThan(200);
    expect([...stage.trap.met].sort()).toEqual([...TRAP_MODES].sort());
    // What was planted in prompts went all the way to the vendor, and its answer came back.
    const prompts = JSON.stringify(stage.vendor.requests.map(({ body }) => body));
    expect(leaks(prompts, ['client']).length).toBeGreaterThan(10);
    const answers = answersWith((status) => status === 200).map(({ text }) => text);
    expect(leaks(answers.join('\n'), ['client']).map(({ canary }) => canary)).toContain(
      'what the model answers',
    );
  });

  it('left something at each exporter', () => {
    for (const { name, process } of stage.processes)
      expect(process.stdout.length, name).toBeGreaterThan(5);
    expect(stage.adminTexts.join('')).toContain('http_requests_total');
    expect(stage.taps.nats.bytes().toString('latin1')).toContain('inference.usage.finalized');
    expect(stage.taps.nats.bytes().toString('latin1')).toContain('inference.usage.parked');
    expect(stage.taps.redis.bytes().toString('latin1')).toMatch(/"set"/i);
    expect(stage.spools.some((spool) => spool.includes('"nftId"'))).toBe(true);
    expect(stage.collector.spans().length).toBeGreaterThan(50);
    expect(tables.rows).toBeGreaterThan(50);
    expect(refusals.filter((text) => text === '')).toEqual([]);
  });
});

describe('nothing that was planted is', () => {
  it('in what a process writes to stdout or stderr', () => {
    for (const { name, process } of stage.processes) {
      expect(leaks([...process.stdout, ...process.stderr].join('\n')), name).toEqual([]);
    }
  });

  it('in metrics or health answers', () => {
    expect(leaks(stage.adminTexts.join('\n'))).toEqual([]);
  });

  it('in spans, their resources, or any byte of an export', () => {
    expect(leaks(Buffer.concat(stage.collector.rawBodies))).toEqual([]);
    const decoded = JSON.stringify(stage.collector.spans(), (_key, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
    expect(leaks(decoded)).toEqual([]);
  });

  it('in a message on NATS, unless it came that way', () => {
    expect(leaks(stage.taps.nats.bytes(), OURS_OR_CLIENTS)).toEqual([]);
  });

  it('in Redis', () => {
    expect(leaks(stage.taps.redis.bytes())).toEqual([]);
  });

  it('in a row of the database', () => {
    expect(leaks(tables.text)).toEqual([]);
  });

  it("in finn's spool", () => {
    expect(leaks(Buffer.concat(stage.spools))).toEqual([]);
  });

  it('in an error that a client gets', () => {
    for (const { what, text } of answersWith((status) => status >= 400)) {
      expect(leaks(text), what).toEqual([]);
    }
  });

  it('of ours in any answer', () => {
    for (const { what, text } of talker.heard) expect(leaks(text, ['secret']), what).toEqual([]);
  });

  it('in what a process says that refuses to start', () => {
    for (const text of refusals) expect(leaks(text)).toEqual([]);
  });

  it('in what a command prints', () => {
    for (const text of stage.commandOutputs) expect(leaks(text)).toEqual([]);
  });

  it('on a command line, where everyone can read it', () => {
    expect(leaks(commandLines.join('\n'))).toEqual([]);
  });
});

describe('the search', () => {
  const found = (canaries: Canaries, text: string): string | undefined =>
    canaries.find(text, EVERYTHING)[0]?.form;

  it('finds a text however it is written', () => {
    const canaries = new Canaries();
    const text = canaries.text('x', 'secret');
    const wrap = (inner: string): string => `{"level":"info","msg":"a ${inner} b"}`;
    const hex = Buffer.from(text).toString('hex');
    const forms: Record<string, string> = {
      plain: text,
      'in capitals': text.toUpperCase(),
      cut: text.slice(0, 15),
      'without its beginning': text.slice(10),
      base64: Buffer.from(text).toString('base64'),
      'base64 within': Buffer.from(`user:${text}:more`).toString('base64'),
      'base64url within': Buffer.from(`us:${text}`).toString('base64url'),
      hex,
      'percent-encoded': hex.replace(/../g, (byte) => `%${byte.toUpperCase()}`),
    };
    for (const [form, written] of Object.entries(forms)) {
      expect(found(canaries, wrap(written)), form).toBeDefined();
    }
    expect(found(canaries, wrap('nothing of the kind'))).toBeUndefined();
  });

  it('finds a wallet by its hash, which anyone could look up', async () => {
    const canaries = new Canaries();
    const wallet = canaries.wallet('w');
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(wallet));
    expect(found(canaries, Buffer.from(digest).toString('hex'))).toBe('sha256');
    expect(found(canaries, `${wallet.slice(0, 14)}…`)).toBe('beginning');
  });
});
