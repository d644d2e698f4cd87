import { serveLoads } from './lib/serve-loads.ts';
import { runDeliveries } from './payments/run-deliveries.ts';

/** The vendor, telling of payments, in a process of its own; spoken to through `LoadProcess`. */
serveLoads(runDeliveries);
