import { hash } from 'node:crypto';

/** SHA-256 over the hash of the link before (hex), a line feed, and the body; in lower-case hex. */
export function linkHash(previous: string, body: string): string {
  return hash('sha256', `${previous}\n${body}`, 'hex');
}
