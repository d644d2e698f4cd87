import { KID_PATTERN, S2S_ALGORITHM } from '@arrakis/contracts';
import type { CompactToken } from './compact-token.domain.ts';
import { firstRejection, type RejectionReason } from './rejection.domain.ts';

const KID = new RegExp(KID_PATTERN);
/** Headers by which a token could bring, or point to, the key that verifies it. */
const KEY_HEADERS = ['jku', 'jwk', 'x5u', 'x5c'] as const;

type Header = CompactToken['header'];
type HeaderRule = (header: Header) => RejectionReason | undefined;

const algorithmIsEs256: HeaderRule = (header) =>
  header.alg === S2S_ALGORITHM ? undefined : 'algorithm';

const kidIsWellFormed: HeaderRule = (header) =>
  typeof header.kid === 'string' && KID.test(header.kid) ? undefined : 'kid';

/** RFC 7515 section 4.1.11: an extension not understood must be refused; we understand none. */
const nothingIsCritical: HeaderRule = (header) =>
  Object.hasOwn(header, 'crit') ? 'critical_header' : undefined;

const bringsNoKey: HeaderRule = (header) =>
  KEY_HEADERS.some((name) => Object.hasOwn(header, name)) ? 'key_in_header' : undefined;

const typeIsJwt: HeaderRule = (header) =>
  !Object.hasOwn(header, 'typ') || header.typ === 'JWT' ? undefined : 'type';

const RULES: readonly HeaderRule[] = [
  algorithmIsEs256,
  kidIsWellFormed,
  nothingIsCritical,
  bringsNoKey,
  typeIsJwt,
];

/** The `kid` of an acceptable header, or why it isn't acceptable. */
export function checkHeader(header: Header): { readonly kid: string } | RejectionReason {
  return firstRejection(RULES, header) ?? { kid: header.kid as string };
}
