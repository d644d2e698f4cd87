#!/usr/bin/env node
import { runVerifier } from './run-verifier.ts';

process.exitCode = await runVerifier(process.argv.slice(2), {
  stdin: process.stdin as AsyncIterable<Uint8Array>,
  print: (text) => process.stdout.write(`${text}\n`),
  complain: (text) => process.stderr.write(`${text}\n`),
});
