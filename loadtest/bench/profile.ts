import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { summariseProfile, type CpuProfile, type Share } from './lib/cpu-profile.ts';

/**
 * Where the CPU time went: `node loadtest/bench/profile.ts <directory> [lines of each table]`, after
 * `main.ts --cpu-prof <directory>`. Percentages of busy time.
 */

const [dir = '.', lines = '25'] = process.argv.slice(2);

function table(title: string, shares: readonly Share[], busyMicros: number): string {
  const rows = shares.slice(0, Number(lines)).map(({ name, micros }) => {
    const percent = ((100 * micros) / busyMicros).toFixed(1).padStart(5);
    return `${percent} %  ${name}`;
  });
  return [`\n  ${title}`, ...rows.map((row) => `  ${row}`)].join('\n');
}

/** Which of ours it is, by what it ran. */
function serviceOf(profile: CpuProfile): string {
  const urls = new Set(profile.nodes.map(({ callFrame }) => callFrame.url));
  const has = (part: string): boolean => [...urls].some((url) => url.includes(part));
  if (has('services/finn/')) return 'finn';
  return has('services/freeside/src/worker.ts') && !has('chat-completions.routes')
    ? 'freeside worker'
    : 'freeside api';
}

for (const file of (await readdir(dir)).filter((name) => name.endsWith('.cpuprofile')).sort()) {
  const profile = JSON.parse(await readFile(join(dir, file), 'utf8')) as CpuProfile;
  const { busyMicros, idleMicros, byFunction, byPackage, inclusive } = summariseProfile(profile);
  const seconds = (micros: number): string => (micros / 1e6).toFixed(1);
  console.log(
    `\n${serviceOf(profile)}  (${file}): busy ${seconds(busyMicros)} s, idle ${seconds(idleMicros)} s`,
  );
  console.log(table('self time by package', byPackage, busyMicros));
  console.log(table('self time by function', byFunction, busyMicros));
  console.log(table('time in our functions and what they call', inclusive, busyMicros));
}
