/** A model that runs on this machine: where its file is and how it wants to be asked. */
export interface LocalModel {
  /** Name of the GGUF file in the model directory. */
  readonly file: string;
  /** Prompt and answer together; more than the machine of a developer has patience for. */
  readonly contextTokens: number;
  readonly template: 'chatml';
  readonly sampling: { readonly temperature: number; readonly topP: number };
}

const MODELS: Readonly<Record<string, LocalModel>> = {
  'smollm2-135m-instruct': {
    file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    contextTokens: 2048,
    template: 'chatml',
    // What the model's authors recommend.
    sampling: { temperature: 0.2, topP: 0.9 },
  },
};

/** Undefined when there is no local model of that name. */
export function findLocalModel(name: string): LocalModel | undefined {
  return Object.hasOwn(MODELS, name) ? MODELS[name] : undefined;
}
