import { join } from 'node:path';
import { requiredEnv } from '../../lib/env.ts';
import { writeWhole } from '../../lib/files.ts';
import { choosePools } from '../../lib/pools.ts';
import type { Done } from '../report.ts';
import type { Folders } from '../stack.ts';
import type { Model } from './model.ts';

export interface Pools {
  /** Path of finn's pool file. */
  readonly file: string;
  readonly label: string;
  readonly isCanned: boolean;
  /** Handed to finn, which resolves the file's references with them. */
  readonly vendorKeys: Readonly<Record<string, string>>;
}

/** Decides which models answer, and writes finn's pool file. */
export async function writePools(folders: Folders, model: Model): Promise<Done<Pools>> {
  const choice = await choosePools(model.isThere);
  const file = join(folders.state, 'pools.json');
  writeWhole(file, choice.file);
  const vendorKeys = Object.fromEntries(
    choice.secretNames.map((name) => [name, requiredEnv(name, 'the key of a model provider')]),
  );
  return {
    did: choice.label,
    value: { file, label: choice.label, isCanned: choice.isCanned, vendorKeys },
    notes: choice.isCanned ? whyCanned(model) : [],
  };
}

function whyCanned(model: Model): string[] {
  const why = model.isThere ? '' : model.why;
  return [
    `No model: ${why.split('\n').join(' ')}`,
    'Answers are a fixed text, marked as such. For a real model set one of these and make up again:',
    '  OPENAI_API_KEY=…                         OpenAI',
    '  OPENAI_BASE_URL=… OPENAI_MODEL=…         any OpenAI-compatible server (vLLM, llama.cpp, …)',
    '  ANTHROPIC_API_KEY=…                      Anthropic',
    '  OLLAMA_HOST=127.0.0.1:11434              Ollama',
  ];
}
