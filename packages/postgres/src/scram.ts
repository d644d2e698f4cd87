import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

const ITERATIONS = 4096;
const SALT_BYTES = 16;
const KEY_BYTES = 32;
/** Beyond this a client would have to normalise (SASLprep) exactly as the server does. */
const PRINTABLE_ASCII = /^[\x20-\x7e]+$/;

/**
 * A password as PostgreSQL stores it (`SCRAM-SHA-256$iterations:salt$stored:server`), so that
 * neither the statement nor the server's log ever holds the password itself.
 *
 * @throws RangeError unless the password is printable ASCII.
 */
export function scramVerifier(password: string, salt: Buffer = randomBytes(SALT_BYTES)): string {
  if (!PRINTABLE_ASCII.test(password)) throw new RangeError('a password must be printable ASCII');
  const salted = pbkdf2Sync(password, salt, ITERATIONS, KEY_BYTES, 'sha256');
  const clientKey = hmac(salted, 'Client Key');
  const storedKey = createHash('sha256').update(clientKey).digest('base64');
  const serverKey = hmac(salted, 'Server Key').toString('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${serverKey}`;
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
