import { inconclusive, type Finding } from '../gate.domain.ts';

/** Of a gate that needs an API key when none was given. */
export function withoutApiKey(): Finding {
  return inconclusive('no API key was given (GONOGO_API_KEY)');
}
