import { fork, type ChildProcess } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import type { FromLoader, ToLoader } from './load-messages.ts';
import { Meter, type MeterReading } from './meter.ts';
import type { ProcessGroups } from './process-cpu.ts';

/** A process that makes load, so that its CPU time is nobody else's. */
export class LoadProcess<Load, Result> {
  readonly #child: ChildProcess;
  #heard: (message: FromLoader<Result>) => void = () => undefined;

  constructor(entry: string) {
    this.#child = fork(entry, { stdio: 'inherit' });
    this.#child.on('message', (message) => this.#heard(message as FromLoader<Result>));
    this.#child.on('exit', (code) =>
      this.#heard({ is: 'failed', reason: `the load ended (${String(code)})` }),
    );
  }

  /**
   * Runs a load, and reads what the groups and the generator used meanwhile.
   * @param aftermathMs measured on after the last answer, for what is done behind it
   * @throws Error with the first wrong answer
   */
  async run(
    load: Load,
    groups: ProcessGroups,
    aftermathMs: number,
  ): Promise<Result & MeterReading> {
    const meter = new Meter({ ...groups, generator: this.#child.pid ?? 0 });
    let reading: MeterReading | undefined;
    return new Promise((resolve, reject) => {
      const onReady = async (): Promise<void> => {
        await meter.begin();
        this.#say({ do: 'go' });
      };
      const onOver = async (): Promise<void> => {
        await pause(aftermathMs);
        reading = await meter.end();
        this.#say({ do: 'finish' });
      };
      this.#heard = (message) => {
        if (message.is === 'ready') onReady().catch(reject);
        else if (message.is === 'over') onOver().catch(reject);
        else if (message.is === 'failed') reject(new Error(message.reason));
        else if (reading !== undefined) resolve({ ...message.result, ...reading });
      };
      this.#say({ do: 'run', load });
    });
  }

  stop(): void {
    this.#child.removeAllListeners('exit');
    this.#child.kill();
  }

  #say(message: ToLoader<Load>): void {
    this.#child.send(message);
  }
}
