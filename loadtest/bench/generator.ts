import { runLoad } from './generator/loads.ts';
import { serveLoads } from './lib/serve-loads.ts';

/** The clients, in a process of their own; spoken to through `LoadProcess`. */
serveLoads(runLoad);
