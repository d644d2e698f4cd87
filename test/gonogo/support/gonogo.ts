import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { SignedReport } from '../../../services/gonogo/src/report/report.schema.ts';
import type { World } from './world.ts';

const MAIN = resolve(import.meta.dirname, '../../../services/gonogo/src/main.ts');

export interface GonogoRun {
  readonly code: number;
  readonly output: string;
  readonly signed: SignedReport;
  readonly reportFile: string;
  /** `name outcome` of each gate. */
  readonly outcomes: readonly string[];
  reasonOf(name: string): string;
}

export interface Ended {
  readonly code: number;
  readonly output: string;
}

/** Runs the command as a process with nothing but the given environment. */
export function gonogo(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Ended> {
  return new Promise((done) => {
    execFile(process.execPath, [MAIN, ...args], { env: { ...env } }, (error, stdout, stderr) => {
      done({
        code: typeof error?.code === 'number' ? error.code : error ? -1 : 0,
        output: stdout + stderr,
      });
    });
  });
}

/** All that the gates may ask of this system. */
export function environmentOf(world: World): Record<string, string> {
  return {
    FREESIDE_URL: world.apiUrl,
    FINN_URL: world.finnUrl,
    GONOGO_ADMIN_URLS: Object.values(world.adminUrls).join(','),
    GONOGO_API_KEY: world.apiKey,
    S2S_KEY_STORE_DIR: world.keyStoreDir,
    DATABASE_URL: world.appDatabaseUrl,
    GONOGO_REPORT_FILE: join(world.dir, 'report.json'),
  };
}

/** Runs those gates against the system, with changes of the environment. */
export async function runGates(
  world: World,
  gates: string,
  changes: Readonly<Record<string, string>> = {},
): Promise<GonogoRun> {
  const env = { ...environmentOf(world), ...changes };
  const { code, output } = await gonogo(['--gates', gates], env);
  const reportFile = env.GONOGO_REPORT_FILE!;
  const signed = JSON.parse(await readFile(reportFile, 'utf8')) as SignedReport;
  return {
    code,
    output,
    signed,
    reportFile,
    outcomes: signed.report.gates.map(({ name, outcome }) => `${name} ${outcome}`),
    reasonOf: (name) => signed.report.gates.find((gate) => gate.name === name)?.reason ?? '',
  };
}
