import { resolve } from 'node:path';

/** Where tests look for the local model's file: `MODEL_DIR`, or where `make up` keeps it. */
export function localModelDir(): string {
  return process.env.MODEL_DIR ?? resolve(import.meta.dirname, '../../../../.arrakis/models');
}
