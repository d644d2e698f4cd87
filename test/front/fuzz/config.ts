/** What exists in the demo community, so that not every request ends with "no such agent". */
export interface KnownValues {
  readonly agents: readonly string[];
  readonly models: readonly string[];
  readonly requestIds: readonly string[];
  readonly packs: readonly string[];
  readonly paymentIds: readonly string[];
}

export interface FuzzConfigOptions {
  readonly known: KnownValues;
  /** Whether strings may hold NUL, which no schema can forbid and every route refuses with 400. */
  readonly withNul: boolean;
}

/** Statuses that may refuse what violates the document. */
const REFUSALS = [400, 401, 403, 404, 405, 406, 408, 409, 413, 414, 415, 422, 428, 429, 431];
/**
 * Statuses that may answer what fits the document: beside success, that it costs more than there
 * is, that the pool is beyond the tier, that there is no such agent, and that the idempotency key
 * bought something else.
 */
const ANSWERS = ['2xx', 402, 403, 404, 409];

/** Of a checkout, too: of those that nobody opens there are only so many in an hour. */
const CHECKOUT_ANSWERS = [...ANSWERS, 429];

/**
 * Longer than any path parameter may be: no schema leads a generator there. In a dictionary it is
 * used only where what doesn't fit the schema is asked for.
 */
const TOO_LONG = 'x'.repeat(300);

/** schemathesis.toml; the API key comes by the environment variable ARRAKIS_KEY. */
export function fuzzConfig({ known, withNul }: FuzzConfigOptions): string {
  return `
[auth.openapi]
apiKey = { bearer = "\${ARRAKIS_KEY}" }

[cache]
enabled = false

[generation]
allow-x00 = ${String(withNul)}

[checks.negative_data_rejection]
expected-statuses = ${JSON.stringify(REFUSALS)}

[checks.positive_data_acceptance]
expected-statuses = ${JSON.stringify(ANSWERS)}

[dictionaries.agents]
values = ${JSON.stringify(known.agents)}

[dictionaries.models]
values = ${JSON.stringify([...known.models, TOO_LONG])}

[dictionaries.requestIds]
values = ${JSON.stringify([...known.requestIds, TOO_LONG])}

[dictionaries.packs]
values = ${JSON.stringify(known.packs)}

[dictionaries.paymentIds]
values = ${JSON.stringify([...known.paymentIds, TOO_LONG])}

[parameters]
"body.nft_id" = { dictionary = "agents", probability = 0.8 }
"body.model" = { dictionary = "models", probability = 0.8 }
"path.model" = { dictionary = "models", probability = 0.5 }
"path.requestId" = { dictionary = "requestIds", probability = 0.5 }
"body.pack" = { dictionary = "packs", probability = 0.8 }
"path.paymentId" = { dictionary = "paymentIds", probability = 0.5 }

[[operations]]
include-name = "POST /api/v1/payments"
checks = { positive_data_acceptance = { expected-statuses = ${JSON.stringify(CHECKOUT_ANSWERS)} } }
`;
}
