import type { WriteStream } from 'node:tty';
import type { RotationProgress } from '../../services/freeside/src/features/s2s/key-rotation-progress.ts';
import { minute } from './api-key-output.ts';

/** Tells a person, or a log, how far a rotation has come. */
export interface ProgressPrinter {
  print(progress: RotationProgress): void;
  /** Ends a line that was still being rewritten. */
  end(): void;
}

/** On a pipe the wait is reported this often, on a terminal every second in one line. */
const SECONDS_BETWEEN_LINES = 30;

export function createProgressPrinter(
  out: Pick<WriteStream, 'write'> & { isTTY?: boolean },
): ProgressPrinter {
  const isTerminal = out.isTTY === true;
  let isLineOpen = false;
  const end = (): void => {
    if (isLineOpen) out.write('\n');
    isLineOpen = false;
  };
  return {
    end,
    print(progress) {
      if (progress.step !== 'waiting') {
        end();
        out.write(`${describe(progress)}\n`);
        return;
      }
      const { secondsLeft, secondsTotal } = progress;
      const line = `waiting until every cache has the key: ${clock(secondsLeft)} left of ${clock(secondsTotal)}`;
      if (isTerminal) {
        out.write(`\r${line} `);
        isLineOpen = true;
      } else if ((secondsTotal - secondsLeft) % SECONDS_BETWEEN_LINES === 0) {
        out.write(`${line}\n`);
      }
    },
  };
}

function describe(progress: Exclude<RotationProgress, { readonly step: 'waiting' }>): string {
  switch (progress.step) {
    case 'created':
      return `made key ${progress.kid}`;
    case 'resumed':
      return `going on with key ${progress.kid} of an interrupted rotation`;
    case 'published':
      return `published ${progress.kid}`;
    case 'served':
      return `${progress.url} serves ${progress.kid}`;
    case 'canary_accepted':
      return `${progress.url} accepts tokens of ${progress.kid} and refuses a forged one`;
    case 'activated':
      return `switched to ${progress.kid}`;
    case 'limited':
      return `${progress.kid} verifies until ${minute(progress.expiresAt)}`;
    case 'removed':
      return `removed ${progress.kid}`;
  }
}

function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
