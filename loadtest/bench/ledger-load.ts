import { runLedgerLoad } from './ledger/run-ledger-load.ts';
import { serveLoads } from './lib/serve-loads.ts';

/** A freeside api's ledger in a process of its own; spoken to through `LoadProcess`. */
serveLoads(runLedgerLoad);
