import type { Head } from '@arrakis/audit';
import type { Logger } from '@arrakis/service-kit';
import type { Pool } from 'pg';
import type { Registry } from 'prom-client';
import { CheckpointSigner } from './checkpoint-signer.ts';
import { createAuditEvents } from './events.ts';
import { AuditService } from './service.ts';

export interface AuditConfig {
  /** PEM of the key that signs checkpoints; without one they stay unsigned. */
  readonly keyFile: string | undefined;
  /** A link of the trail, noted elsewhere: nothing is signed unless the trail goes through it. */
  readonly anchor?: Head | undefined;
}

/** @throws AuditKeyError when the file can't be used. */
export async function createAudit(
  { keyFile, anchor }: AuditConfig,
  deps: { readonly db: Pool; readonly registry: Registry; readonly logger: Logger },
): Promise<AuditService> {
  const signer = keyFile === undefined ? undefined : await CheckpointSigner.fromFile(keyFile);
  if (signer === undefined) deps.logger.warn('no AUDIT_SIGNING_KEY_FILE: checkpoints are unsigned');
  else deps.logger.info({ kid: signer.key.kid }, 'audit checkpoints are signed');
  return new AuditService({
    db: deps.db,
    events: createAuditEvents(deps.registry, deps.logger),
    ...(signer === undefined ? {} : { signer }),
    ...(anchor === undefined ? {} : { anchor }),
  });
}
