import type { PlainError } from '../lib/plain-error.ts';

/** What a step did, in a few words for the terminal, and what later steps need of it. */
export interface Done<T> {
  readonly did: string;
  readonly value: T;
  /** Worth a second look, though nothing failed: printed under the step's line. */
  readonly notes?: readonly string[];
}

/** Tells what a running step is doing right now. */
export type Progress = (text: string) => void;

export type StepWork<T> = (progress: Progress) => Promise<Done<T>> | Done<T>;

const TITLE_WIDTH = 15;
/** Where lines can't be rewritten, a long step says that it is alive this often. */
const PLAIN_INTERVAL_MS = 10_000;

/** Writes the progress of `make up`: one line a step, rewritten in place on a terminal. */
export class Report {
  readonly #out: NodeJS.WriteStream;
  readonly #colour: boolean;
  #running: string | undefined;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#colour = out.isTTY && out.hasColors();
  }

  /** Runs one step with its title, its progress and, at the end, what it did and how long it took. */
  async step<T>(title: string, work: StepWork<T>): Promise<T> {
    const started = performance.now();
    this.#running = title;
    let text = 'working';
    let printedAt = started;
    const show = (): void => {
      const line = this.#line('..', title, `${text} (${seconds(started)})`);
      if (this.#out.isTTY) {
        this.#rewrite(line);
      } else if (performance.now() - printedAt >= PLAIN_INTERVAL_MS) {
        printedAt = performance.now();
        this.#out.write(`${line}\n`);
      }
    };
    const ticker = setInterval(show, 1_000);
    try {
      if (this.#out.isTTY) show();
      const done = await work((now) => {
        text = now;
        show();
      });
      this.#finish(this.#line('ok', title, `${done.did} (${seconds(started)})`));
      for (const note of done.notes ?? []) this.print(`${' '.repeat(7 + TITLE_WIDTH)}${note}`);
      return done.value;
    } catch (error) {
      this.#finish(this.#line('!!', title, `failed (${seconds(started)})`));
      throw error;
    } finally {
      clearInterval(ticker);
      this.#running = undefined;
    }
  }

  print(line = ''): void {
    this.#out.write(`${line}\n`);
  }

  /** Text without a line end, for an answer that arrives in pieces. */
  write(text: string): void {
    this.#out.write(text);
  }

  strong(text: string): string {
    return this.#colour ? `\u001b[1m${text}\u001b[22m` : text;
  }

  faint(text: string): string {
    return this.#colour ? `\u001b[2m${text}\u001b[22m` : text;
  }

  /** A plain explanation: what happened, then what to do. */
  explain(error: PlainError): void {
    this.print();
    const [first = '', ...rest] = error.message.split('\n');
    this.print(this.strong(first));
    for (const line of [...rest, ...error.advice]) this.print(`  ${line}`);
  }

  /** The step that was under way when ^C came, if any; ends its line. */
  interrupt(): string | undefined {
    const title = this.#running;
    if (title !== undefined && this.#out.isTTY) this.#out.write('\n');
    return title;
  }

  #line(mark: string, title: string, text: string): string {
    return `[ ${mark} ] ${title.padEnd(TITLE_WIDTH)} ${text}`;
  }

  #finish(line: string): void {
    if (this.#out.isTTY) this.#rewrite(line);
    else this.#out.write(line);
    this.#out.write('\n');
  }

  #rewrite(line: string): void {
    this.#out.write(`\r\u001b[K${line.slice(0, (this.#out.columns || 80) - 1)}`);
  }
}

function seconds(since: number): string {
  const elapsed = (performance.now() - since) / 1000;
  return elapsed < 9.95 ? `${elapsed.toFixed(1)} s` : `${elapsed.toFixed(0)} s`;
}
