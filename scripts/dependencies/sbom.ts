import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { runScript, say } from '../lib/entry.ts';
import { makeSbom } from './make-sbom.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const TARGET = resolve(ROOT, process.argv[2] ?? '.arrakis/sbom.cdx.json');

await runScript('sbom', async () => {
  const sbom = await makeSbom();
  mkdirSync(dirname(TARGET), { recursive: true });
  writeFileSync(TARGET, `${JSON.stringify(sbom, null, 2)}\n`);
  const count = String(sbom.components.length);
  say(`${relative(ROOT, TARGET)}: CycloneDX ${sbom.specVersion}, ${count} components that ship,`);
  say('each with purl and licence, and with the hash that package-lock.json has.');
});
