import { createAnthropic } from './anthropic.client.ts';
import { createCanned } from './canned.ts';
import { createLocal } from './local/local.client.ts';
import { createOpenAICompatible } from './openai-compatible.client.ts';
import type { MaxTokensField } from './openai-compatible.domain.ts';
import type { Provider, ProviderLog, ProviderTimeouts } from './provider.ts';
import { loadTokenizer, type TokenizerName } from './tokenizer.ts';

type ProviderKind = 'openai-compatible' | 'anthropic' | 'local' | 'canned';

/** One target of a pool, its key already resolved. */
export interface ProviderTarget {
  readonly provider: ProviderKind;
  /** http(s), without credentials. Default: the vendor's own for the first two kinds. */
  readonly baseUrl?: string | undefined;
  readonly apiKey?: string | undefined;
  /** Default `o200k_base`. */
  readonly tokenizer?: TokenizerName | undefined;
  /** `openai-compatible` only; default `max_tokens`. */
  readonly maxTokensField?: MaxTokensField | undefined;
  /** `canned` only: between two words. */
  readonly wordDelayMs?: number | undefined;
  readonly timeouts: ProviderTimeouts;
  /** Where `local` finds its files. */
  readonly modelDir: string;
}

export interface ProviderDeps {
  readonly log: ProviderLog;
}

const OPENAI_BASE_URL = 'https://api.openai.com/v1';
const ANTHROPIC_BASE_URL = 'https://api.anthropic.com';

/**
 * Makes the provider of a target. Connects to nothing, but loads the tokenizer's tables (see
 * `loadTokenizer`): call it at start.
 *
 * @throws Error when the target can't be right, such as a base URL that is none.
 */
export function createProvider(target: ProviderTarget, deps: ProviderDeps): Provider {
  if (target.provider === 'canned') {
    return createCanned({ wordDelayMs: target.wordDelayMs });
  }
  const { apiKey, timeouts } = target;
  const tokenizer = loadTokenizer(target.tokenizer ?? 'o200k_base');
  switch (target.provider) {
    case 'openai-compatible':
      return createOpenAICompatible({
        baseUrl: target.baseUrl ?? OPENAI_BASE_URL,
        apiKey,
        timeouts,
        tokenizer,
        maxTokensField: target.maxTokensField,
      });
    case 'anthropic':
      return createAnthropic({
        baseUrl: target.baseUrl ?? ANTHROPIC_BASE_URL,
        apiKey,
        timeouts,
        tokenizer,
      });
    case 'local':
      return createLocal({ modelDir: target.modelDir, timeouts, tokenizer, log: deps.log });
  }
}
