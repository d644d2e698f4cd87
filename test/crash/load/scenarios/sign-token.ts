import { S2STokenService, type S2STokenSubject } from '@arrakis/signing-keys';
import {
  readActiveFile,
  readPrivateKey,
} from '../../../../services/freeside/src/features/s2s/key-files.ts';

/** Prints a service token as freeside would sign it for the subject in the argument (JSON). */
const dir = process.env.S2S_KEY_STORE_DIR ?? '';
const subject = JSON.parse(process.argv[2] ?? '{}') as S2STokenSubject;
const { activeKid } = await readActiveFile(dir);
const key = await readPrivateKey(dir, activeKid);
process.stdout.write(new S2STokenService({ keys: { current: () => key } }).sign(subject));
