import { execFile } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { checkpointKey } from '@arrakis/audit';
import { TrailWriter } from '../../../packages/audit/src/test-support/make-trail.ts';
import { medians, type Metrics } from '../report/row.ts';
import type { PaymentsBench, Result } from './bench.ts';

const CLI = resolve(import.meta.dirname, '../../../packages/audit/src/cli.ts');
const RECORDS = 600_000;
const BATCH = 5_000;
const COMMUNITIES = 50;
export const VERIFIER_SETTING = `${RECORDS.toLocaleString('en-US')} records, signed`;

/** The command that strangers run, from its start to its end, over a trail of holds and captures. */
export async function measureVerifier(bench: PaymentsBench): Promise<Result[]> {
  const { runDir } = bench.backends;
  const [file, keyFile] = [join(runDir, 'trail.jsonl'), join(runDir, 'audit-public.pem')];
  await writeTrail(file, keyFile);
  const { size } = await stat(file);
  const rounds: Metrics[] = [];
  for (let round = 0; round < bench.rounds; round += 1) {
    const beganMs = performance.now();
    const args = [CLI, '--key', keyFile, '--require-signature', file];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const elapsedMs = performance.now() - beganMs;
    if (!stdout.startsWith(`intact: ${RECORDS} records`)) throw new Error(stdout);
    const perSecond = (RECORDS * 1000) / elapsedMs;
    rounds.push({ perSecond, elapsedMs, mibPerSecond: size / 1024 ** 2 / (elapsedMs / 1000) });
    bench.progress(
      `verifier ${round + 1}/${bench.rounds}  ${perSecond.toFixed(0)} records/s, ${elapsedMs.toFixed(0)} ms`,
    );
  }
  return [{ setting: VERIFIER_SETTING, metrics: medians(rounds), rounds }];
}

async function writeTrail(file: string, keyFile: string): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = checkpointKey(publicKey);
  if (key === undefined) throw new Error('the key is not on P-256');
  const trail = new TrailWriter({ key, privateKey });
  const communities = Array.from({ length: COMMUNITIES }, () => randomUUID());
  for (let n = 0; n < RECORDS; n += 1) {
    const community = communities[n % COMMUNITIES] ?? '';
    const ids = { reservation: randomUUID(), lot: null };
    trail.entry({ community, ...moveAt(n) }, ids);
    if ((n + 1) % BATCH === 0) trail.checkpoint();
  }
  await writeFile(keyFile, publicKey.export({ format: 'pem', type: 'spki' }));
  const lines = trail.all().map((line) => `${line}\n`);
  await pipeline(Readable.from(lines), createWriteStream(file));
}

/** Of a community in turn: a mint first, then a hold and its capture, again and again. */
function moveAt(n: number) {
  const turn = Math.floor(n / COMMUNITIES);
  if (turn === 0) {
    return { kind: 'mint', from: 'minted', to: 'available', amountMicro: 10n ** 15n } as const;
  }
  return turn % 2 === 1
    ? ({ kind: 'hold', from: 'available', to: 'held', amountMicro: 1_234n } as const)
    : ({ kind: 'capture', from: 'held', to: 'spent', amountMicro: 1_234n } as const);
}
