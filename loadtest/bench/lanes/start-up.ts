import type { ServiceName } from '../../../test/support/system.ts';
import type { ContestantName } from '../contestants/contestant.ts';
import { spawnPeer } from '../contestants/peer.ts';
import { medians, type Metrics, type Row } from '../report/row.ts';
import type { Bench, Lane } from './lane.ts';

export const START_UP_SERVICES = ['api-1', 'finn-1', 'worker-1'] as const;
export const PEER_SETTING = 'gateway';
export const startUpSetting = (name: ServiceName): string => name.replace(/-\d+$/, '');

/** From the start of a process until it says that it is ready; asked every 20 ms. */
export const startUp: Lane = async (bench) => {
  const rounds = new Map<string, Metrics[]>();
  const note = (contestant: ContestantName, setting: string, startMs: number): void => {
    const key = JSON.stringify([contestant, setting]);
    rounds.set(key, [...(rounds.get(key) ?? []), { startMs }]);
    bench.progress(`start-up  ${contestant} ${setting}: ${startMs.toFixed(0)} ms`);
  };
  for (let round = 0; round < Math.max(2, bench.rounds); round += 1) {
    for (const name of START_UP_SERVICES) {
      note('arrakis', startUpSetting(name), await restart(bench, name));
    }
    if (bench.contestants.some((one) => one.name === 'portkey')) {
      const peer = await spawnPeer();
      await peer.stop();
      note('portkey', PEER_SETTING, peer.startMs);
    }
  }
  return [...rounds].map(([key, found]): Row => {
    const [contestant, setting] = JSON.parse(key) as [ContestantName, string];
    return { lane: 'start-up', setting, contestant, metrics: medians(found), rounds: found };
  });
};

async function restart({ ours }: Bench, name: ServiceName): Promise<number> {
  await ours.system.process(name).stop();
  const beganMs = performance.now();
  await ours.system.restart(name);
  return performance.now() - beganMs;
}
