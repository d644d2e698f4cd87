export { ChainVerifier, type ChainSummary, type Finding } from './chain-verifier.ts';
export {
  checkpointKey,
  isSignedBy,
  readCheckpointKey,
  signingInput,
  type CheckpointKey,
} from './checkpoint-signature.ts';
export { parseHead, type Head } from './head.domain.ts';
export { runVerifier } from './run-verifier.ts';
export {
  GENESIS_HASH,
  checkpointLine,
  headerLine,
  recordBody,
  recordLine,
  type AuditRecord,
  type Signature,
} from './line.domain.ts';
