/**
 * Something that the person at the terminal can understand and act on. Printed as it is: what
 * happened, then what to do about it, one line each, without a stack.
 */
export class PlainError extends Error {
  override readonly name = 'PlainError';
  readonly advice: readonly string[];

  constructor(message: string, advice: readonly string[] = [], options?: ErrorOptions) {
    super(message, options);
    this.advice = advice;
  }
}

/** The `code` of a Node system error (`ENOSPC`, `EACCES`, …), found in the chain of causes. */
export function systemCode(error: unknown): string | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 8; depth += 1) {
    if ('code' in current && typeof current.code === 'string') return current.code;
    current = current.cause;
  }
  return undefined;
}

const BY_CODE: Readonly<Record<string, readonly [string, ...string[]]>> = {
  ENOSPC: [
    'The disk is full.',
    'Free some space (df -h shows where), then run make up again: it goes on from here.',
  ],
  EDQUOT: ['Your disk quota is used up.', 'Free some space, then run make up again.'],
  EACCES: [
    'A file here belongs to another user.',
    'Was make run as root before? Look with: ls -la .arrakis',
  ],
  EPERM: [
    'The system does not allow that to this user.',
    'Was make run as root before? Look with: ls -la .arrakis',
  ],
  EROFS: ['This folder is on a read-only file system.', 'Clone the repository somewhere else.'],
  EMFILE: ['Too many open files.', 'Raise the limit (ulimit -n 4096), then run make up again.'],
};

/** Turns what the system reported into words; errors that are plain already pass through. */
export function explain(error: unknown): PlainError {
  if (error instanceof PlainError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code =
    systemCode(error) ?? (/No space left on device/i.test(message) ? 'ENOSPC' : undefined);
  // A command that can't be started says enough itself, and it is no file of ours.
  const isOurs = code !== undefined && !message.startsWith('spawn ');
  const known = isOurs ? BY_CODE[code] : undefined;
  if (known === undefined) return new PlainError(message, [], { cause: error });
  const [what, ...advice] = known;
  return new PlainError(`${what} (${message})`, advice, { cause: error });
}
