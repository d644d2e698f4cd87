interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string }[];
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** A text with a letter in it, as the prose asks for more than white space. */
const TEXT = { type: 'string', pattern: '[a-z]', maxLength: 200 };

const MESSAGES = {
  type: 'array',
  minItems: 1,
  maxItems: 5,
  items: {
    type: 'object',
    properties: { role: { enum: ['system', 'user', 'assistant'] }, content: TEXT },
    required: ['role', 'content'],
    additionalProperties: false,
  },
};

/**
 * The document narrowed to what is certain to be served: without the parameters that are known but
 * not offered, without what only the vendor's signature opens, and with the rules that JSON Schema
 * can't say as sharper schemas. What fits it must be accepted.
 */
export function offeredOnly(document: Document): object {
  const { schemas } = document.components;
  const inference = withProperties(schemas.InferenceRequest, { prompt: TEXT, messages: MESSAGES });
  const chatRequest = {
    ...schemas.ChatCompletionRequest,
    properties: offered(schemas.ChatCompletionRequest),
  };
  return {
    ...document,
    paths: offeredPaths(document.paths),
    components: {
      ...document.components,
      schemas: {
        ...schemas,
        InferenceRequest: inference,
        ChatCompletionRequest: withProperties(chatRequest, { messages: MESSAGES }),
      },
    },
  };
}

const WEBHOOK = '/api/crypto/webhook';

/** A cursor is text that only an earlier answer gives. */
function offeredPaths(paths: Document['paths']): Document['paths'] {
  const withoutCursor = (operation: Operation): Operation => ({
    ...operation,
    parameters: (operation.parameters ?? []).filter(({ name }) => name !== 'cursor'),
  });
  if (paths[WEBHOOK] === undefined) throw new Error(`there is no ${WEBHOOK}`);
  return Object.fromEntries(
    Object.entries(paths)
      .filter(([path]) => path !== WEBHOOK)
      .map(([path, operations]) => [
        path,
        Object.fromEntries(
          Object.entries(operations).map(([method, one]) => [method, withoutCursor(one)]),
        ),
      ]),
  );
}

/** Refused beside `max_tokens`, and without `stream`. */
const DEPENDENT = ['max_completion_tokens', 'stream_options'];

function offered(schema: Schema | undefined): Record<string, Schema> {
  const properties = Object.entries(schema?.properties ?? {});
  const isOffered = ({ description = '' }: Schema): boolean =>
    !description.startsWith('Not offered');
  const kept = properties.filter(([, property]) => isOffered(property));
  if (kept.length === properties.length) throw new Error('nothing is marked as not offered');
  return Object.fromEntries(kept.filter(([name]) => !DEPENDENT.includes(name)));
}

function withProperties(
  schema: Schema | undefined,
  sharper: Readonly<Record<string, object>>,
): object {
  return { ...schema, properties: { ...schema?.properties, ...sharper } };
}
