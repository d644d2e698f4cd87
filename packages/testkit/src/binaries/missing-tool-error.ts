/** A program is not there and may not (or could not) be installed from here. */
export class MissingToolError extends Error {
  readonly tool: string;
  /** The one command that mends it, ready to paste into a shell. */
  readonly command: string;

  constructor(init: { tool: string; reason: string; command: string; cause?: unknown }) {
    super(`${init.tool} is missing: ${init.reason}\nThis command mends it:\n  ${init.command}`, {
      cause: init.cause,
    });
    this.name = 'MissingToolError';
    this.tool = init.tool;
    this.command = init.command;
  }
}
