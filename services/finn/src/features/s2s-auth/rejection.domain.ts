/**
 * Why a service token was refused. For the metric and the log only: the caller learns nothing
 * beyond `invalid_token`, or it would have an oracle.
 */
export type RejectionReason =
  | 'missing'
  | 'malformed'
  | 'loose_encoding'
  | 'bad_json'
  | 'algorithm'
  | 'kid'
  | 'critical_header'
  | 'key_in_header'
  | 'type'
  | 'signature_length'
  | 'unknown_kid'
  | 'signature'
  | 'audience'
  | 'issuer'
  | 'claims'
  | 'lifetime'
  | 'issued_in_future'
  | 'expired'
  | 'not_yet_valid'
  | 'replayed';

/** The first rule that refuses decides. */
export function firstRejection<T>(
  rules: readonly ((subject: T) => RejectionReason | undefined)[],
  subject: T,
): RejectionReason | undefined {
  for (const rule of rules) {
    const reason = rule(subject);
    if (reason !== undefined) return reason;
  }
  return undefined;
}
