import { execFile } from 'node:child_process';
import { baseEnv } from '../../../scripts/lib/env.ts';

/** Enough for a list of every object of a namespace. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 60_000;
const EXEC_WITHIN_MS = 15_000;

export interface CommandOptions {
  readonly input?: string | object;
  /** 60 s unless said. */
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** kubectl and helm, as an operator has them, in one namespace of one cluster. */
export class Kube {
  readonly kubeconfig: string;
  readonly namespace: string;

  constructor(kubeconfig: string, namespace: string) {
    this.kubeconfig = kubeconfig;
    this.namespace = namespace;
  }

  in(namespace: string): Kube {
    return new Kube(this.kubeconfig, namespace);
  }

  /** @returns what it prints. @throws Error with what it complains about. */
  kubectl(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return this.command('kubectl', ['-n', this.namespace, ...args], options);
  }

  /**
   * Runs a command in a container: `[...where, '--', ...command]`. Now and then the stream of an exec
   * never ends, which says nothing about the command: it is given up after 15 s and run once more. So
   * it must be one that may be run twice.
   *
   * @returns what it prints. @throws Error with what the second run complains about.
   */
  exec(args: readonly string[], options: Pick<CommandOptions, 'input'> = {}): Promise<string> {
    const run = (): Promise<string> =>
      this.kubectl(['exec', ...args], { ...options, timeoutMs: EXEC_WITHIN_MS });
    return run().catch(run);
  }

  helm(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return this.command('helm', ['-n', this.namespace, ...args], options);
  }

  /** A script of the repository, with this cluster as its own. */
  command(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return runCommand(file, args, {
      ...options,
      env: { KUBECONFIG: this.kubeconfig, ...options.env },
    });
  }

  async get<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl(['get', ...args, '-o', 'json'])) as T;
  }

  async list<T>(...args: readonly string[]): Promise<readonly T[]> {
    return (await this.get<{ items: T[] }>(...args)).items;
  }

  apply(object: object): Promise<string> {
    return this.kubectl(['apply', '-f', '-'], { input: object });
  }

  mergePatch(target: string, patch: object): Promise<string> {
    return this.kubectl(['patch', target, '--type', 'merge', '-p', JSON.stringify(patch)]);
  }

  /** Waits until the API server says so. @throws when it doesn't within the time. */
  waitFor(target: string, condition: string, timeoutMs = TIMEOUT_MS): Promise<string> {
    const seconds = Math.ceil(timeoutMs / 1000);
    return this.kubectl(['wait', target, `--for=${condition}`, `--timeout=${seconds}s`], {
      timeoutMs: timeoutMs + 10_000,
    });
  }
}

/** @throws Error with the command's complaints when it exits with anything but 0. */
export function runCommand(
  file: string,
  args: readonly string[],
  { input, timeoutMs = TIMEOUT_MS, env = {} }: CommandOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      file,
      [...args],
      { env: baseEnv(env), timeout: timeoutMs, maxBuffer: MAX_OUTPUT_BYTES },
      (error, stdout, stderr) => {
        if (error === null) {
          resolve(stdout);
          return;
        }
        const said = stderr.trim() === '' ? stdout.trim() : stderr.trim();
        const ended = error.killed === true ? `no end after ${timeoutMs} ms` : error.message;
        reject(
          new Error(`${file} ${args.slice(0, 6).join(' ')}: ${said.slice(-2000) || ended}`, {
            cause: error,
          }),
        );
      },
    );
    // A command that ends without reading is judged by its exit.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(typeof input === 'object' ? JSON.stringify(input) : (input ?? ''));
  });
}
