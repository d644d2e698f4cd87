import { isObject, type JsonObject } from './json-shape.ts';

/** The text of a refusal of type `invalid_request_error`; undefined when the value is right. */
type Check = (value: unknown, path: string) => string | undefined;

const string: Check = (value, path) =>
  typeof value === 'string' ? undefined : `${path}: Input should be a valid string`;
const boolean: Check = (value, path) =>
  typeof value === 'boolean' ? undefined : `${path}: Input should be a valid boolean`;
const object: Check = (value, path) =>
  isObject(value) ? undefined : `${path}: Input should be a valid dictionary`;
const array: Check = (value, path) =>
  Array.isArray(value) ? undefined : `${path}: Input should be a valid list`;

const integer =
  (min: number): Check =>
  (value, path) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      return `${path}: Input should be a valid integer`;
    }
    return value < min ? `${path}: Input should be greater than or equal to ${min}` : undefined;
  };

const share: Check = (value, path) => {
  if (typeof value !== 'number') return `${path}: Input should be a valid number`;
  if (value < 0) return `${path}: Input should be greater than or equal to 0`;
  return value > 1 ? `${path}: Input should be less than or equal to 1` : undefined;
};

/** A string, or a list of blocks; text blocks must not be empty. */
const content: Check = (value, path) => {
  if (typeof value === 'string') {
    return value === '' ? `${path}: user messages must have non-empty content` : undefined;
  }
  if (!Array.isArray(value)) return `${path}: Input should be a valid string or list`;
  return value.map((item: unknown, index) => block(item, `${path}.${index}`)).find(Boolean);
};

const block: Check = (value, path) => {
  if (!isObject(value) || typeof value.type !== 'string') return `${path}.type: Field required`;
  if (value.type !== 'text') return undefined;
  if (value.text === '') return `${path}: text content blocks must be non-empty`;
  return string(value.text, `${path}.text`);
};

const message: Check = (value, path) => {
  if (!isObject(value)) return `${path}: Input should be a valid dictionary`;
  const extra = Object.keys(value).find((key) => key !== 'role' && key !== 'content');
  if (extra !== undefined) return `${path}.${extra}: Extra inputs are not permitted`;
  if (value.role === 'system') {
    return `${path}: use the top-level 'system' parameter for the initial system prompt`;
  }
  if (value.role !== 'user' && value.role !== 'assistant') {
    return `${path}.role: Input should be 'user' or 'assistant'`;
  }
  return value.content === undefined
    ? `${path}.content: Field required`
    : content(value.content, `${path}.content`);
};

const messages: Check = (value, path) => {
  if (!Array.isArray(value)) return `${path}: Input should be a valid list`;
  if (value.length === 0) return `${path}: at least one message is required`;
  return value.map((item, index) => message(item, `${path}.${index}`)).find(Boolean);
};

const PARAMETERS: Readonly<Record<string, Check>> = {
  model: string,
  max_tokens: integer(1),
  messages,
  system: (value, path) => (value === '' ? undefined : content(value, path)),
  stream: boolean,
  temperature: share,
  top_p: share,
  top_k: integer(0),
  stop_sequences: array,
  metadata: object,
  service_tier: string,
  thinking: object,
  tools: array,
  tool_choice: object,
};

const REQUIRED = ['model', 'max_tokens', 'messages'];

/** The first thing that Anthropic would find wrong with the body; undefined when it is right. */
export function refuseMessagesRequest(body: JsonObject): string | undefined {
  const missing = REQUIRED.find((name) => body[name] === undefined);
  if (missing !== undefined) return `${missing}: Field required`;
  for (const [name, value] of Object.entries(body)) {
    const check = PARAMETERS[name];
    if (check === undefined) return `${name}: Extra inputs are not permitted`;
    const error = check(value, name);
    if (error !== undefined) return error;
  }
  return undefined;
}
