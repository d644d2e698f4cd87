import { isObject, typeName, type JsonObject } from './json-shape.ts';

/** A refusal in OpenAI's terms. */
export interface OpenAIError {
  readonly status: number;
  readonly message: string;
  readonly type?: string;
  readonly param?: string;
  readonly code?: string;
}

type Check = (value: unknown, path: string) => OpenAIError | undefined;

const invalid = (message: string, param: string, code: string): OpenAIError => ({
  status: 400,
  message,
  param,
  code,
});

function wrongType(path: string, expected: string, value: unknown): OpenAIError {
  const message = `Invalid type for '${path}': expected ${expected}, but got ${article(typeName(value))} instead.`;
  return invalid(message, path, 'invalid_type');
}

const article = (name: string): string => (/^[aeiou]/.test(name) ? `an ${name}` : `a ${name}`);

const anything: Check = () => undefined;
const ofType =
  (type: 'string' | 'boolean', expected: string): Check =>
  (value, path) =>
    typeof value === type ? undefined : wrongType(path, expected, value);
const string = ofType('string', 'a string');
const boolean = ofType('boolean', 'a boolean');
const object: Check = (value, path) =>
  isObject(value) ? undefined : wrongType(path, 'an object', value);
const array: Check = (value, path) =>
  Array.isArray(value) ? undefined : wrongType(path, 'an array', value);

function number(min: number, max: number, integer: boolean): Check {
  const kind = integer ? 'integer' : 'decimal';
  return (value, path) => {
    if (typeof value !== 'number' || (integer && !Number.isInteger(value))) {
      return wrongType(path, integer ? 'an integer' : 'a decimal', value);
    }
    if (value < min) return outOfRange(path, kind, 'below minimum', `>= ${min}`, value);
    if (value > max) return outOfRange(path, kind, 'above maximum', `<= ${max}`, value);
    return undefined;
  };
}

function outOfRange(
  path: string,
  kind: string,
  where: string,
  expected: string,
  value: number,
): OpenAIError {
  const message = `Invalid '${path}': ${kind} ${where} value. Expected a value ${expected}, but got ${value} instead.`;
  return invalid(
    message,
    path,
    `${kind}_${where.replace(' minimum', '_min').replace(' maximum', '_max')}_value`,
  );
}

const stop: Check = (value, path) => {
  if (typeof value === 'string') return undefined;
  if (!Array.isArray(value)) return wrongType(path, 'one of a string or an array', value);
  if (value.length > 4)
    return invalid(`Invalid '${path}': array too long.`, path, 'array_above_max_length');
  return value.map((item, index) => string(item, `${path}[${index}]`)).find(Boolean);
};

const ROLES = new Set(['developer', 'system', 'user', 'assistant', 'tool']);
const MESSAGE_FIELDS = new Set([
  'role',
  'content',
  'name',
  'tool_calls',
  'tool_call_id',
  'refusal',
]);

const message: Check = (value, path) => {
  if (!isObject(value)) return wrongType(path, 'an object', value);
  const unknown = Object.keys(value).find((key) => !MESSAGE_FIELDS.has(key));
  if (unknown !== undefined) return unknownParameter(`${path}.${unknown}`);
  if (value.role === undefined) return missing(`${path}.role`);
  if (typeof value.role !== 'string' || !ROLES.has(value.role)) {
    const role = JSON.stringify(value.role);
    const text = `Invalid value: ${role}. Supported values are: 'developer', 'system', 'user', 'assistant' and 'tool'.`;
    return invalid(text, `${path}.role`, 'invalid_value');
  }
  return content(value, `${path}.content`);
};

function content(message: JsonObject, path: string): OpenAIError | undefined {
  const value = message.content;
  if (typeof value === 'string') return undefined;
  if (value === null || value === undefined) {
    if (message.role === 'assistant' && message.tool_calls !== undefined) return undefined;
    return wrongType(path, 'one of a string or array of objects', null);
  }
  if (!Array.isArray(value)) return wrongType(path, 'one of a string or array of objects', value);
  return value
    .map((part: unknown, index) => {
      const partPath = `${path}[${index}]`;
      if (!isObject(part)) return wrongType(partPath, 'an object', part);
      return part.type === 'text' ? string(part.text, `${partPath}.text`) : undefined;
    })
    .find(Boolean);
}

const messages: Check = (value, path) => {
  if (!Array.isArray(value)) return wrongType(path, 'an array of objects', value);
  if (value.length === 0) {
    const text = `Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.`;
    return invalid(text, path, 'empty_array');
  }
  return value.map((item, index) => message(item, `${path}[${index}]`)).find(Boolean);
};

const streamOptions: Check = (value, path) => {
  if (!isObject(value)) return wrongType(path, 'an object', value);
  for (const [name, option] of Object.entries(value)) {
    if (name !== 'include_usage' && name !== 'include_obfuscation') {
      return unknownParameter(`${path}.${name}`);
    }
    const error = boolean(option, `${path}.${name}`);
    if (error !== undefined) return error;
  }
  return undefined;
};

/** Every parameter of the chat completions endpoint; null counts as absent. */
const PARAMETERS: Readonly<Record<string, Check>> = {
  model: string,
  messages,
  stream: boolean,
  stream_options: streamOptions,
  max_tokens: number(1, Number.MAX_SAFE_INTEGER, true),
  max_completion_tokens: number(1, Number.MAX_SAFE_INTEGER, true),
  temperature: number(0, 2, false),
  top_p: number(0, 1, false),
  n: number(1, 1, true),
  stop,
  presence_penalty: number(-2, 2, false),
  frequency_penalty: number(-2, 2, false),
  seed: number(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, true),
  logprobs: boolean,
  top_logprobs: number(0, 20, true),
  logit_bias: object,
  response_format: object,
  tools: array,
  tool_choice: anything,
  parallel_tool_calls: boolean,
  user: string,
  safety_identifier: string,
  prompt_cache_key: string,
  service_tier: string,
  store: boolean,
  metadata: object,
  reasoning_effort: string,
  verbosity: string,
  modalities: array,
  audio: object,
  prediction: object,
  web_search_options: object,
};

const unknownParameter = (path: string): OpenAIError =>
  invalid(`Unknown parameter: '${path}'.`, path, 'unknown_parameter');
const missing = (path: string): OpenAIError =>
  invalid(`Missing required parameter: '${path}'.`, path, 'missing_required_parameter');

/** The first thing that OpenAI would find wrong with the body; undefined when it is right. */
export function refuseChatRequest(body: JsonObject): OpenAIError | undefined {
  for (const [name, value] of Object.entries(body)) {
    const check = PARAMETERS[name];
    if (check === undefined) return unknownParameter(name);
    const error = value === null ? undefined : check(value, name);
    if (error !== undefined) return error;
  }
  if (body.model === undefined) {
    return { status: 400, message: 'you must provide a model parameter' };
  }
  return body.messages === undefined ? missing('messages') : refuseCombination(body);
}

/** Parameters that are right each by itself and wrong together. */
function refuseCombination(body: JsonObject): OpenAIError | undefined {
  if (isObject(body.stream_options) && body.stream !== true) {
    const text = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
    return { status: 400, message: text, param: 'stream_options' };
  }
  if (typeof body.max_tokens === 'number' && typeof body.max_completion_tokens === 'number') {
    const text =
      "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
    return invalid(text, 'max_tokens', 'invalid_parameter_combination');
  }
  return undefined;
}
