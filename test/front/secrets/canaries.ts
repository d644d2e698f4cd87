import { createHash, randomBytes } from 'node:crypto';

/**
 * Where a planted text comes from decides where it may stand: nothing may stand anywhere but what
 * the client itself sent, which its own answer may repeat.
 */
export type Origin =
  /** Environment, files and vendors: nobody outside may ever see it. */
  | 'secret'
  /** What a client sent. */
  | 'client'
  /** In a message that finn never sent: parked as it is, for an operator to look at. */
  | 'message';

interface Canary {
  readonly name: string;
  readonly origin: Origin;
  readonly needles: readonly Needle[];
}

interface Needle {
  readonly form: string;
  readonly bytes: Buffer;
  /** Whether upper and lower case count as the same. */
  readonly ignoresCase: boolean;
}

export interface Finding {
  readonly canary: string;
  readonly form: string;
  /** Some bytes around it, to see what wrote it. */
  readonly around: string;
}

/** A part of it is a leak too: of a text this much of its beginning and of its end is looked for. */
const FRAGMENT_LENGTH = 12;
const AROUND_BYTES = 80;

/** Texts that can't be there by chance, and the ways in which they could be written. */
export class Canaries {
  readonly #canaries: Canary[] = [];

  get count(): number {
    return this.#canaries.length;
  }

  /** Notes `value` as planted; `core` is the part by which it is known. */
  plant(name: string, origin: Origin, value: string, core = value): string {
    this.#canaries.push({ name, origin, needles: needlesOf(core) });
    return value;
  }

  /** A random text of the form `before<core>after`. */
  text(name: string, origin: Origin, before = '', after = ''): string {
    const core = randomText();
    return this.plant(name, origin, before + core + after, core);
  }

  /** An address such as a wallet's, in lower case. */
  wallet(name: string, origin: Origin = 'client'): string {
    const digits = randomBytes(20).toString('hex');
    return this.plant(name, origin, `0x${digits}`, digits);
  }

  /** All that is found in `text` of those origins. */
  find(text: string | Buffer, origins: readonly Origin[]): Finding[] {
    const bytes = typeof text === 'string' ? Buffer.from(text) : text;
    const lower = Buffer.from(bytes.toString('latin1').toLowerCase(), 'latin1');
    const findings: Finding[] = [];
    for (const { name, origin, needles } of this.#canaries) {
      if (!origins.includes(origin)) continue;
      for (const needle of needles) {
        const at = (needle.ignoresCase ? lower : bytes).indexOf(needle.bytes);
        if (at === -1) continue;
        findings.push({ canary: name, form: needle.form, around: excerpt(bytes, at) });
        break;
      }
    }
    return findings;
  }
}

function randomText(): string {
  // Letters and digits only, in both cases: no encoding of URLs or JSON hides them from us.
  return randomBytes(24).toString('base64').replace(/[+/=]/g, 'q');
}

function excerpt(bytes: Buffer, at: number): string {
  return bytes.toString('latin1', Math.max(0, at - AROUND_BYTES), at + AROUND_BYTES);
}

function needlesOf(core: string): Needle[] {
  const raw = Buffer.from(core);
  const insensitive: [string, string][] = [
    ['plain', core],
    ['beginning', core.slice(0, FRAGMENT_LENGTH)],
    ['end', core.slice(-FRAGMENT_LENGTH)],
    ['hex', raw.toString('hex')],
    ['percent-encoded', percentEncoded(raw)],
    ['JSON-escaped', jsonEscaped(core)],
    ['reversed', Array.from(core).reverse().join('')],
    ...hashesOf(core).map((hash): [string, string] => ['sha256', hash.toString('hex')]),
  ];
  const sensitive: [string, string][] = [
    ...base64Forms(raw).map((form): [string, string] => ['base64', form]),
    ...hashesOf(core).flatMap((hash): [string, string][] => [
      ['sha256 in base64', hash.toString('base64').replace(/=+$/, '')],
      ['sha256 in base64url', hash.toString('base64url')],
    ]),
  ];
  return [
    ...insensitive.map(([form, text]) => toNeedle(form, text.toLowerCase(), true)),
    ...sensitive.map(([form, text]) => toNeedle(form, text, false)),
  ];
}

function toNeedle(form: string, text: string, ignoresCase: boolean): Needle {
  return { form, bytes: Buffer.from(text), ignoresCase };
}

/** Of the text and, where it is an address, of the ways to write one: anyone can look those up. */
function hashesOf(core: string): Buffer[] {
  const isAddress = /^[0-9a-f]{40}$/.test(core);
  const forms = isAddress ? [core, `0x${core}`, `0x${core.toUpperCase()}`] : [core];
  return forms.map((form) => createHash('sha256').update(form).digest());
}

function percentEncoded(raw: Buffer): string {
  return raw.toString('hex').replace(/../g, (byte) => `%${byte}`);
}

function jsonEscaped(core: string): string {
  return core.replace(/./gs, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * As it would stand within the base64 of a longer text, at each of the three possible offsets,
 * without the characters that depend on its neighbours; in both alphabets.
 */
function base64Forms(raw: Buffer): string[] {
  const forms = [0, 1, 2].map((offset) => {
    const padded = Buffer.concat([Buffer.alloc(offset), raw])
      .toString('base64')
      .replace(/=+$/, '');
    const start = offset === 0 ? 0 : offset + 1;
    const isWhole = (raw.length + offset) % 3 === 0;
    return padded.slice(start, isWhole ? undefined : -1);
  });
  const urlForms = forms.map((form) => form.replaceAll('+', '-').replaceAll('/', '_'));
  return [...new Set([...forms, ...urlForms])];
}
