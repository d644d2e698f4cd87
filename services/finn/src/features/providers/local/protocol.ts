import type { ChatMessage, FinishReason } from '@arrakis/contracts';
import type { LocalModel } from './catalogue.domain.ts';

/** What finn tells the model's process. At most one `run` is under way at a time. */
export type ToModel =
  | {
      readonly type: 'load';
      readonly id: number;
      readonly modelPath: string;
      readonly model: LocalModel;
    }
  | {
      readonly type: 'run';
      readonly id: number;
      readonly modelPath: string;
      readonly model: LocalModel;
      readonly messages: readonly ChatMessage[];
      readonly maxTokens: number;
    }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'pause'; readonly id: number }
  | { readonly type: 'resume'; readonly id: number };

/** What the model's process answers: signs of life and deltas, then exactly one of the others. */
export type FromModel =
  | { readonly type: 'working'; readonly id: number }
  | { readonly type: 'prompt'; readonly id: number; readonly promptTokens: number }
  | { readonly type: 'delta'; readonly id: number; readonly text: string; readonly tokens: number }
  | {
      readonly type: 'end';
      readonly id: number;
      readonly promptTokens: number;
      readonly completionTokens: number;
      readonly finishReason: FinishReason;
    }
  | { readonly type: 'loaded'; readonly id: number }
  | { readonly type: 'aborted'; readonly id: number }
  | { readonly type: 'refused'; readonly id: number; readonly promptTokens: number }
  | { readonly type: 'unavailable'; readonly id: number };
