import type { FieldError } from '@arrakis/contracts';
import { pointerToken } from './field-name.ts';

/** More would help nobody, and a hostile body could have thousands. */
const MAX_FAULTS = 10;

/** One complaint of AJV. */
interface SchemaComplaint {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: ComplaintParams;
  readonly message?: string;
}

/** What AJV adds to a complaint, depending on its keyword. */
interface ComplaintParams {
  readonly missingProperty?: unknown;
  readonly additionalProperty?: unknown;
  readonly unevaluatedProperty?: unknown;
  readonly propertyName?: unknown;
  readonly allowedValues?: unknown;
  readonly allowedValue?: unknown;
  readonly type?: unknown;
  readonly limit?: unknown;
}

/** The part of Fastify's validation error that is read here. */
export interface SchemaFault {
  readonly validation?: readonly SchemaComplaint[];
  readonly validationContext?: string;
}

/**
 * AJV's complaints as field and reason. Reasons are made of the schema alone, so that nothing the
 * client sent is echoed but the names of unknown fields.
 */
export function schemaFaults(error: SchemaFault): FieldError[] {
  const complaints = error.validation ?? [];
  const faults = new Map<string, FieldError>();
  for (const complaint of withoutAlternatives(complaints)) {
    const field = fieldOf(complaint, error.validationContext ?? 'body');
    const reason = reasonOf(complaint, complaints);
    faults.set(`${field} ${reason}`, { field, reason });
    if (faults.size === MAX_FAULTS) break;
  }
  return [...faults.values()];
}

const isUnion = (complaint: SchemaComplaint): boolean =>
  complaint.keyword === 'anyOf' || complaint.keyword === 'oneOf';

/** A value that fits no member of a union: one complaint, instead of one for each member. */
function withoutAlternatives(complaints: readonly SchemaComplaint[]): readonly SchemaComplaint[] {
  const unions = new Set(complaints.filter(isUnion).map((complaint) => complaint.instancePath));
  if (unions.size === 0) return complaints;
  return complaints.filter(
    (complaint) =>
      isUnion(complaint) ||
      ![...unions].some(
        (path) => complaint.instancePath === path || complaint.instancePath.startsWith(`${path}/`),
      ),
  );
}

function fieldOf(complaint: SchemaComplaint, context: string): string {
  const { missingProperty, additionalProperty, unevaluatedProperty, propertyName } =
    complaint.params;
  const child = missingProperty ?? additionalProperty ?? unevaluatedProperty ?? propertyName;
  const path =
    typeof child === 'string'
      ? `${complaint.instancePath}/${pointerToken(child)}`
      : complaint.instancePath;
  switch (context) {
    case 'headers':
      return `header:${path.slice(1)}`;
    case 'querystring':
      return `query:${path.slice(1)}`;
    case 'params':
      return `path:${path.slice(1)}`;
    default:
      // The pointer of the whole body is the empty string, which would read like a missing name.
      return path === '' ? '/' : path;
  }
}

type Reason = (complaint: SchemaComplaint, all: readonly SchemaComplaint[]) => string;

const unknownField: Reason = () => 'is not a known field';
const empty: Reason = ({ params, message }) =>
  params.limit === 1 ? 'must not be empty' : (message ?? 'is too short');

/** Where we say it better than AJV. */
const REASONS: Readonly<Record<string, Reason>> = {
  required: () => 'is required',
  additionalProperties: unknownField,
  unevaluatedProperties: unknownField,
  enum: ({ params }) => oneOf(params.allowedValues),
  const: ({ params }) => oneOf([params.allowedValue]),
  anyOf: unionReason,
  oneOf: unionReason,
  type: ({ params }) => `must be ${[params.type].flat().map(String).join(' or ')}`,
  minLength: empty,
  minItems: empty,
};

function reasonOf(complaint: SchemaComplaint, all: readonly SchemaComplaint[]): string {
  const reason = REASONS[complaint.keyword];
  return reason?.(complaint, all) ?? complaint.message ?? 'is not valid';
}

function oneOf(values: unknown): string {
  const list = Array.isArray(values) ? values : [];
  return `must be one of ${list.map((value) => JSON.stringify(value)).join(', ')}`;
}

/** A union of literals is an enumeration in disguise. */
function unionReason(union: SchemaComplaint, all: readonly SchemaComplaint[]): string {
  const members = all.filter(
    (complaint) => !isUnion(complaint) && complaint.instancePath === union.instancePath,
  );
  if (members.length > 0 && members.every((member) => member.keyword === 'const')) {
    return oneOf(members.map((member) => member.params.allowedValue));
  }
  return 'has none of the allowed forms';
}
