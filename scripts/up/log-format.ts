import { readFileSync } from 'node:fs';

const LEVELS: Readonly<Record<number, string>> = {
  10: 'TRACE',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARN',
  50: 'ERROR',
  60: 'FATAL',
};

/** Fields that say what the line's beginning says already. */
const OMITTED = new Set(['level', 'time', 'msg', 'pid', 'hostname', 'service', 'version']);

/** Frames of a stack that lie inside Node tell nobody anything. */
const NODE_FRAME = /^\s+at .*\bnode:/;

/** One JSON log line in a form that people read; any other line as it is. */
export function formatLogLine(line: string): string {
  const entry = parse(line);
  if (entry === undefined) return line;
  const { level, time, msg } = entry;
  const fields = Object.entries(entry)
    .filter(([name]) => !OMITTED.has(name))
    .map(([name, value]) => `${name}=${formatValue(value)}`);
  return [timeOf(time), levelName(level).padEnd(5), typeof msg === 'string' ? msg : '', ...fields]
    .filter((part) => part.trim() !== '')
    .join(' ');
}

/** The last lines of a log file, readable; none when there is no such file. */
export function lastLogLines(path: string, count: number): string[] {
  try {
    return readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .filter((line) => line !== '' && !NODE_FRAME.test(line))
      .slice(-count)
      .map((line) => formatLogLine(line).slice(0, 1_000));
  } catch {
    return [];
  }
}

/** Loggers write the level as a word or as pino's number. */
function levelName(level: unknown): string {
  if (typeof level === 'string') return level.toUpperCase();
  return typeof level === 'number' ? (LEVELS[level] ?? '') : '';
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function timeOf(time: unknown): string {
  if (typeof time !== 'number' && typeof time !== 'string') return '';
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString().slice(11, 23);
}

function formatValue(value: unknown): string {
  if (typeof value === 'string') return /^[\w./:@-]+$/.test(value) ? value : JSON.stringify(value);
  // An error's stack is in the file for who needs it.
  if (typeof value === 'object' && value !== null && 'message' in value) {
    return JSON.stringify(value.message);
  }
  return JSON.stringify(value);
}
