import { optionalEnv } from './env.ts';
import { LOCAL_MODEL } from './local-model.ts';
import { PlainError } from './plain-error.ts';

/** Which model providers finn gets, from the variables that the vendors' own tools read. */

const POOL_NAMES = ['cheap', 'standard', 'reasoning', 'architect', 'flagship'] as const;
type PoolName = (typeof POOL_NAMES)[number];

/** A target as finn's pool file has it. */
interface Target {
  readonly name: string;
  readonly provider: 'openai-compatible' | 'anthropic' | 'local' | 'canned';
  readonly model: string;
  readonly baseUrl?: string;
  /** A reference: the key itself is never in the file. */
  readonly apiKey?: string;
  readonly contextTokens?: number;
}

export interface PoolChoice {
  /** For people: what answers. */
  readonly label: string;
  /** True when no model answers, only a fixed text. */
  readonly isCanned: boolean;
  /** The pool file's text. */
  readonly file: string;
  /** Variables that finn must see for the file's references to resolve. */
  readonly secretNames: readonly string[];
}

interface Vendor {
  readonly label: string;
  readonly secretNames: readonly string[];
  target(pool: PoolName): Target;
}

/** Used unless `…_MODEL` names one for all pools. */
const OPENAI_MODELS: Readonly<Record<PoolName, string>> = {
  cheap: 'gpt-4.1-nano',
  standard: 'gpt-4.1-mini',
  reasoning: 'gpt-4.1-mini',
  architect: 'gpt-4.1',
  flagship: 'gpt-4.1',
};
const ANTHROPIC_MODELS: Readonly<Record<PoolName, string>> = {
  cheap: 'claude-haiku-4-5',
  standard: 'claude-haiku-4-5',
  reasoning: 'claude-sonnet-4-5',
  architect: 'claude-sonnet-4-5',
  flagship: 'claude-opus-4-1',
};

/**
 * The providers that the environment names (`OPENAI_API_KEY` or `OPENAI_BASE_URL`,
 * `ANTHROPIC_API_KEY`, `OLLAMA_HOST`), in that order of preference; without any, the local model if
 * its file is there; without that, the canned provider.
 *
 * @throws PlainError when a provider is named but the model to ask for is not known.
 */
export async function choosePools(hasModel: boolean): Promise<PoolChoice> {
  const named = [openAi(), anthropic(), await ollama()].filter((vendor) => vendor !== undefined);
  const vendors = named.length > 0 ? named : [local(hasModel) ?? CANNED];
  const pools = Object.fromEntries(
    POOL_NAMES.map((pool) => [pool, { targets: vendors.map((vendor) => vendor.target(pool)) }]),
  );
  const label = vendors.map((vendor) => vendor.label).join(', then ');
  const document = { $comment: `Generated from the environment: ${label}`, pools };
  return {
    label,
    isCanned: vendors[0] === CANNED,
    file: `${JSON.stringify(document, null, 2)}\n`,
    secretNames: vendors.flatMap((vendor) => vendor.secretNames),
  };
}

/** Whether the environment names a provider, so that no local model is needed. */
export function namesProvider(): boolean {
  const names = ['OPENAI_API_KEY', 'OPENAI_BASE_URL', 'ANTHROPIC_API_KEY', 'OLLAMA_HOST'];
  return names.some((name) => optionalEnv(name) !== undefined);
}

function openAi(): Vendor | undefined {
  const base = optionalEnv('OPENAI_BASE_URL');
  const hasKey = optionalEnv('OPENAI_API_KEY') !== undefined;
  if (base === undefined && !hasKey) return undefined;
  const model = optionalEnv('OPENAI_MODEL');
  if (base !== undefined && model === undefined) {
    throw new PlainError('OPENAI_BASE_URL is set, but not which model to ask for.', [
      'Set OPENAI_MODEL to a name that the server knows, then run make up again.',
    ]);
  }
  return {
    label: `${base === undefined ? 'OpenAI' : 'the OpenAI-compatible endpoint'}${modelLabel(model)}`,
    secretNames: hasKey ? ['OPENAI_API_KEY'] : [],
    target: (pool) => ({
      name: targetName('openai', model ?? OPENAI_MODELS[pool]),
      provider: 'openai-compatible',
      model: model ?? OPENAI_MODELS[pool],
      baseUrl: (base ?? 'https://api.openai.com/v1').replace(/\/+$/, ''),
      ...(hasKey ? { apiKey: 'env:OPENAI_API_KEY' } : {}),
    }),
  };
}

function anthropic(): Vendor | undefined {
  if (optionalEnv('ANTHROPIC_API_KEY') === undefined) return undefined;
  const model = optionalEnv('ANTHROPIC_MODEL');
  return {
    label: `Anthropic${modelLabel(model)}`,
    secretNames: ['ANTHROPIC_API_KEY'],
    target: (pool) => ({
      name: targetName('anthropic', model ?? ANTHROPIC_MODELS[pool]),
      provider: 'anthropic',
      model: model ?? ANTHROPIC_MODELS[pool],
      apiKey: 'env:ANTHROPIC_API_KEY',
    }),
  };
}

async function ollama(): Promise<Vendor | undefined> {
  const host = optionalEnv('OLLAMA_HOST');
  if (host === undefined) return undefined;
  const origin = ollamaOrigin(host);
  const model = optionalEnv('OLLAMA_MODEL') ?? (await firstOllamaModel(origin));
  return {
    label: `Ollama${modelLabel(model)}`,
    secretNames: [],
    target: () => ({
      name: targetName('ollama', model),
      provider: 'openai-compatible',
      model,
      baseUrl: `${origin}/v1`,
    }),
  };
}

/** OLLAMA_HOST as Ollama reads it: scheme and port may be missing, 0.0.0.0 means this machine. */
function ollamaOrigin(host: string): string {
  const url = new URL(/^https?:\/\//.test(host) ? host : `http://${host}`);
  if (url.port === '' && url.protocol === 'http:') url.port = '11434';
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  return url.origin;
}

async function firstOllamaModel(origin: string): Promise<string> {
  const tags = await fetch(`${origin}/api/tags`, { signal: AbortSignal.timeout(5_000) })
    .then((response) => response.json() as Promise<{ models?: { name?: string }[] }>)
    .catch((error: unknown) => {
      throw new PlainError(
        'OLLAMA_HOST is set, but Ollama does not answer there.',
        ['Start it with: ollama serve', 'or unset OLLAMA_HOST to use the local model.'],
        { cause: error },
      );
    });
  const name = tags.models?.[0]?.name;
  if (name === undefined) {
    throw new PlainError('Ollama has no model yet.', [
      'Fetch one, for example: ollama pull llama3.2',
    ]);
  }
  return name;
}

function local(hasModel: boolean): Vendor | undefined {
  if (!hasModel) return undefined;
  return {
    label: `the local model ${LOCAL_MODEL.name}`,
    secretNames: [],
    target: () => ({ name: 'local', provider: 'local', model: LOCAL_MODEL.name }),
  };
}

const CANNED: Vendor = {
  label: 'the canned provider (a fixed text, no model)',
  secretNames: [],
  target: () => ({ name: 'canned', provider: 'canned', model: 'canned' }),
};

function modelLabel(model: string | undefined): string {
  return model === undefined ? '' : ` (${model})`;
}

/** One name stands for one target, in the characters that a name may have. */
function targetName(vendor: string, model: string): string {
  return `${vendor}-${model.toLowerCase().replace(/[^a-z0-9._-]+/g, '-')}`.slice(0, 63);
}
