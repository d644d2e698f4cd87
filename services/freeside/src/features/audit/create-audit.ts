import type { Logger } from '@arrakis/service-kit';
import type { Pool } from 'pg';
import type { Registry } from 'prom-client';
import { CheckpointSigner } from './checkpoint-signer.ts';
import { createAuditEvents } from './events.ts';
import { AuditService } from './service.ts';

/**
 * @param keyFile PEM of the key that signs checkpoints; without one they stay unsigned.
 * @throws AuditKeyError when the file can't be used.
 */
export async function createAudit(
  keyFile: string | undefined,
  deps: { readonly db: Pool; readonly registry: Registry; readonly logger: Logger },
): Promise<AuditService> {
  const signer = keyFile === undefined ? undefined : await CheckpointSigner.fromFile(keyFile);
  if (signer === undefined) deps.logger.warn('no AUDIT_SIGNING_KEY_FILE: checkpoints are unsigned');
  else deps.logger.info({ kid: signer.key.kid }, 'audit checkpoints are signed');
  return new AuditService({
    db: deps.db,
    events: createAuditEvents(deps.registry, deps.logger),
    ...(signer === undefined ? {} : { signer }),
  });
}
