import { POOLS, type Pool } from '@arrakis/contracts';
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';

const ProviderKind = Type.Enum(['openai-compatible', 'anthropic', 'local', 'canned']);

const TargetEntry = Type.Object(
  {
    name: Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,62}$' }),
    provider: ProviderKind,
    model: Type.String({ minLength: 1, maxLength: 200 }),
    baseUrl: Type.Optional(Type.String({ pattern: '^https?://[^\\s?#]+$' })),
    apiKey: Type.Optional(Type.String({ pattern: '^(?:env:[A-Z][A-Z0-9_]*|file:/.+)$' })),
    tokenizer: Type.Optional(Type.Enum(['o200k_base', 'cl100k_base'])),
    maxTokensField: Type.Optional(Type.Enum(['max_tokens', 'max_completion_tokens'])),
    maxConcurrency: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
    contextTokens: Type.Optional(Type.Integer({ minimum: 256, maximum: 10_000_000 })),
    wordDelayMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
  },
  { additionalProperties: false },
);
/** One target as the pool file has it; `apiKey` is still a reference. */
export type TargetEntry = Static<typeof TargetEntry>;

const PoolEntry = Type.Object(
  { targets: Type.Array(TargetEntry, { minItems: 1, maxItems: 16 }) },
  { additionalProperties: false },
);

const poolEntries = Object.fromEntries(POOLS.map((pool) => [pool, PoolEntry])) as Record<
  Pool,
  typeof PoolEntry
>;

/** Which targets serve a pool, in the order in which they are tried. */
export const PoolFile = Type.Object(
  {
    $comment: Type.Optional(Type.String()),
    pools: Type.Object(poolEntries, { additionalProperties: false }),
  },
  { additionalProperties: false },
);
export type PoolFile = Static<typeof PoolFile>;
const poolFile = Compile(PoolFile);

/** Names the place (JSON pointer) of each fault; holds no value of the file. */
export class PoolFileError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(`The pool file is not usable:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
    this.name = 'PoolFileError';
    this.faults = faults;
  }
}

/** @throws PoolFileError that lists every fault at once. */
export function parsePoolFile(document: unknown): PoolFile {
  if (!poolFile.Check(document)) {
    throw new PoolFileError(
      [...poolFile.Errors(document)]
        // The same fault again, without the name of the member.
        .filter((error) => error.keyword !== 'boolean')
        .map((error) => `${error.instancePath || '/'}: ${error.message}`),
    );
  }
  const faults = [
    ...incompleteTargets(document),
    ...strayDelays(document),
    ...ambiguousNames(document),
  ];
  if (faults.length > 0) throw new PoolFileError(faults);
  return document;
}

export interface PlacedTarget {
  readonly pool: Pool;
  /** JSON pointer into the file. */
  readonly pointer: string;
  readonly entry: TargetEntry;
}

/** Every target of the file, with its place. */
export function targetsOf(file: PoolFile): readonly PlacedTarget[] {
  return POOLS.flatMap((pool) =>
    file.pools[pool].targets.map((entry, index) => ({
      pool,
      pointer: `/pools/${pool}/targets/${index}`,
      entry,
    })),
  );
}

/** Without a base URL the vendor's own is meant, and that wants a key. */
function incompleteTargets(file: PoolFile): string[] {
  return targetsOf(file)
    .filter(({ entry }) => entry.provider === 'openai-compatible' || entry.provider === 'anthropic')
    .filter(({ entry }) => entry.baseUrl === undefined && entry.apiKey === undefined)
    .map(({ pointer }) => `${pointer}/apiKey: is required for the vendor's own endpoint`);
}

/** A real model takes the time that it takes. */
function strayDelays(file: PoolFile): string[] {
  return targetsOf(file)
    .filter(({ entry }) => entry.wordDelayMs !== undefined && entry.provider !== 'canned')
    .map(({ pointer }) => `${pointer}/wordDelayMs: only canned answers have it`);
}

/** A target that serves several pools has one breaker, so one name must always mean one target. */
function ambiguousNames(file: PoolFile): string[] {
  const first = new Map<string, { pointer: string; text: string }>();
  return targetsOf(file).flatMap(({ pointer, entry }) => {
    const text = JSON.stringify(entry, Object.keys(entry).sort());
    const known = first.get(entry.name);
    if (known === undefined) first.set(entry.name, { pointer, text });
    return known === undefined || known.text === text
      ? []
      : [`${pointer}/name: is also the name of another target, at ${known.pointer}`];
  });
}
