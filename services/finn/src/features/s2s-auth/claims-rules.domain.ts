import {
  S2S_CLOCK_SKEW_SECONDS,
  S2S_TOKEN_LIFE_SECONDS,
  S2SClaims,
  type S2SIssuer,
} from '@arrakis/contracts';
import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { parseFlatObject } from './json-object.domain.ts';
import { firstRejection, type RejectionReason } from './rejection.domain.ts';

/** The contract's claims, and `nbf`, which any issuer may add (RFC 7519 section 4.1.5). */
const AcceptedClaims = Type.Object(
  { ...S2SClaims.properties, nbf: Type.Optional(Type.Integer({ minimum: 0 })) },
  { additionalProperties: false },
);
type AcceptedClaims = Static<typeof AcceptedClaims>;
const acceptedClaims = Compile(AcceptedClaims);

export interface VerificationContext {
  /** Issuer that the verifying key belongs to, where the key set tells. */
  readonly keyIssuer: S2SIssuer | undefined;
  readonly nowSeconds: number;
}

type ShapeRule = (claims: Readonly<Record<string, unknown>>) => RejectionReason | undefined;

/** RFC 7519 allows an array; a token meant for several audiences is one that another can replay. */
const audienceIsOneString: ShapeRule = (claims) =>
  typeof claims.aud === 'string' ? undefined : 'audience';

const claimsMatchContract: ShapeRule = (claims) =>
  acceptedClaims.Check(claims) ? undefined : 'claims';

const SHAPE_RULES: readonly ShapeRule[] = [audienceIsOneString, claimsMatchContract];

interface Subject extends VerificationContext {
  readonly claims: AcceptedClaims;
}
type ClaimsRule = (subject: Subject) => RejectionReason | undefined;

const issuerOwnsKey: ClaimsRule = ({ claims, keyIssuer }) =>
  keyIssuer === undefined || keyIssuer === claims.iss ? undefined : 'issuer';

const lifeIsShort: ClaimsRule = ({ claims }) => {
  const lifeSeconds = claims.exp - claims.iat;
  return lifeSeconds > 0 && lifeSeconds <= S2S_TOKEN_LIFE_SECONDS ? undefined : 'lifetime';
};

const issuedInPast: ClaimsRule = ({ claims, nowSeconds }) =>
  claims.iat <= nowSeconds + S2S_CLOCK_SKEW_SECONDS ? undefined : 'issued_in_future';

const notExpired: ClaimsRule = ({ claims, nowSeconds }) =>
  claims.exp > nowSeconds - S2S_CLOCK_SKEW_SECONDS ? undefined : 'expired';

const alreadyValid: ClaimsRule = ({ claims, nowSeconds }) =>
  claims.nbf === undefined || claims.nbf <= nowSeconds + S2S_CLOCK_SKEW_SECONDS
    ? undefined
    : 'not_yet_valid';

const CLAIMS_RULES: readonly ClaimsRule[] = [
  issuerOwnsKey,
  lifeIsShort,
  issuedInPast,
  notExpired,
  alreadyValid,
];

/** Reads the payload of a token whose signature holds. */
export function checkClaims(
  payload: Uint8Array,
  context: VerificationContext,
): { readonly claims: S2SClaims } | RejectionReason {
  const parsed = parseFlatObject(payload);
  if (parsed === undefined) return 'bad_json';
  const misshapen = firstRejection(SHAPE_RULES, parsed);
  if (misshapen !== undefined) return misshapen;

  const claims = parsed as AcceptedClaims;
  return firstRejection(CLAIMS_RULES, { ...context, claims }) ?? { claims };
}
