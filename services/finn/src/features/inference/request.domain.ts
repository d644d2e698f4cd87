import {
  LIMITS,
  type ChatMessage,
  type FieldError,
  type InferenceRequest,
  type ProblemCode,
} from '@arrakis/contracts';

export interface RequestFault {
  readonly code: Extract<ProblemCode, 'invalid_request' | 'body_too_large'>;
  readonly errors: FieldError[];
}

const VISIBLE = /\S/u;

/** The rules that the schema can't say: one of two forms, no blank text, bytes, not characters. */
export function findRequestFault(request: InferenceRequest): RequestFault | undefined {
  const { prompt, messages } = request;
  if (prompt !== undefined && messages !== undefined) {
    return invalid('/messages', 'must not be given beside prompt');
  }
  if (prompt !== undefined) {
    return findTextFault([prompt], '/prompt', () => '/prompt');
  }
  if (messages !== undefined) {
    const texts = messages.map(({ content }) => content);
    return findTextFault(texts, '/messages', (index) => `/messages/${index}/content`);
  }
  return invalid('/prompt', 'is required, or messages');
}

function findTextFault(
  texts: readonly string[],
  field: string,
  fieldOf: (index: number) => string,
): RequestFault | undefined {
  const blank = texts.findIndex((text) => !VISIBLE.test(text));
  if (blank !== -1) return invalid(fieldOf(blank), 'must hold more than white space');
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (bytes <= LIMITS.promptBytes) return undefined;
  const reason = `must not exceed ${LIMITS.promptBytes} bytes of UTF-8`;
  return { code: 'body_too_large', errors: [{ field, reason }] };
}

function invalid(field: string, reason: string): RequestFault {
  return { code: 'invalid_request', errors: [{ field, reason }] };
}

/** What the model reads: the personality first, so that no message of the client precedes it. */
export function conversation(
  request: InferenceRequest,
  systemPrompt: string,
): readonly ChatMessage[] {
  const asked = request.messages ?? [{ role: 'user', content: request.prompt ?? '' }];
  return [{ role: 'system', content: systemPrompt }, ...asked];
}
