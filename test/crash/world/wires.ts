import { startTcpRelay, type TcpRelay } from '@arrakis/testkit';
import type { Dependency, SystemOptions } from '../../support/system.ts';
import { WIRE_NAMES, type WireName } from './wire-names.ts';

export interface Wires {
  readonly names: readonly WireName[];
  /** @throws when there is no such wire. */
  wire(name: WireName): TcpRelay;
  /** For `createSystem`: the same URL, over the wire. */
  readonly route: NonNullable<SystemOptions['route']>;
  restoreAll(): Promise<void>;
  close(): Promise<void>;
}

/** Ports of what is known before the services are; the wires to clients' apis are aimed later. */
export type WirePorts = Readonly<Record<Dependency, number>>;

/** One relay for each pair that speaks, so that each can be cut on its own. */
export async function startWires(ports: WirePorts): Promise<Wires> {
  const relays = new Map<WireName, TcpRelay>();
  for (const name of WIRE_NAMES) {
    relays.set(name, await startTcpRelay({ targetPort: targetOf(name, ports) }));
  }
  const wire = (name: WireName): TcpRelay => {
    const found = relays.get(name);
    if (found === undefined) throw new Error(`no wire ${name}`);
    return found;
  };
  return {
    names: WIRE_NAMES,
    wire,
    route(from, to, url) {
      const relay = relays.get(`${from}->${to}`);
      return relay === undefined ? url : withPort(url, relay.port);
    },
    async restoreAll() {
      await Promise.all([...relays.values()].map((relay) => relay.restore()));
    },
    async close() {
      await Promise.all([...relays.values()].map((relay) => relay.close()));
    },
  };
}

function targetOf(name: WireName, ports: WirePorts): number {
  const to = name.slice(name.indexOf('>') + 1);
  return to in ports ? ports[to as Dependency] : 0;
}

function withPort(url: string, port: number): string {
  const changed = new URL(url);
  changed.port = String(port);
  return changed.href;
}
