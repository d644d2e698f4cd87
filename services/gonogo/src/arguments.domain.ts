import { GATE_NAMES, type GateName } from './gate.domain.ts';

export type Command =
  | { readonly kind: 'run'; readonly gates?: readonly GateName[]; readonly report?: string }
  | { readonly kind: 'list' }
  | { readonly kind: 'verify'; readonly file: string; readonly signer?: string }
  | { readonly kind: 'refused'; readonly reason: string };

export const USAGE = `usage:
  main.ts [--gates a,b] [--report FILE]   run the gates (all, or those of GONOGO_GATES); - as FILE prints the report
  main.ts --list                          name the gates and what each asks
  main.ts verify FILE [--signer THUMBPRINT]   check a report; - as FILE reads it from stdin`;

/** Reads the command line; anything it doesn't know is refused. */
export function parseArguments(args: readonly string[]): Command {
  const [first, ...rest] = args;
  if (first === '--list' && rest.length === 0) return { kind: 'list' };
  if (first === 'verify') return parseVerify(rest);
  const options = readOptions(args, ['--gates', '--report']);
  if (typeof options === 'string') return refused(options);
  const named = options.get('--gates');
  const gates = named === undefined ? undefined : parseGates(named);
  if (typeof gates === 'string') return refused(gates);
  const report = options.get('--report');
  return {
    kind: 'run',
    ...(gates === undefined ? {} : { gates }),
    ...(report === undefined ? {} : { report }),
  };
}

function parseVerify(args: readonly string[]): Command {
  const [file, ...rest] = args;
  if (file === undefined || file.startsWith('--')) return refused('verify needs a file');
  const options = readOptions(rest, ['--signer']);
  if (typeof options === 'string') return refused(options);
  const signer = options.get('--signer');
  return { kind: 'verify', file, ...(signer === undefined ? {} : { signer }) };
}

/** @returns the options by name, or what is wrong. */
function readOptions(
  args: readonly string[],
  known: readonly string[],
): ReadonlyMap<string, string> | string {
  const options = new Map<string, string>();
  for (let at = 0; at < args.length; at += 2) {
    const [name = '', value] = args.slice(at, at + 2);
    if (!known.includes(name)) return `${name} is not known`;
    if (options.has(name)) return `${name} is there twice`;
    if (value === undefined || value === '') return `${name} needs a value`;
    options.set(name, value);
  }
  return options;
}

/** @returns the gates of a comma-separated list in their own order, or what is wrong with it. */
export function parseGates(text: string): readonly GateName[] | string {
  const named = text.split(',').map((name) => name.trim());
  const stranger = named.find((name) => !GATE_NAMES.some((gate) => gate === name));
  if (stranger !== undefined) return `there is no gate "${stranger}"`;
  return GATE_NAMES.filter((gate) => named.includes(gate));
}

function refused(reason: string): Command {
  return { kind: 'refused', reason };
}
