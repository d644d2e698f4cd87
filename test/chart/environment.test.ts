import type { TObject } from 'typebox';
import { describe, expect, it } from 'vitest';
import { ControllerEnv } from '../../services/controller/src/config/env.ts';
import { FinnEnv } from '../../services/finn/src/config/env.ts';
import { parsePoolFile } from '../../services/finn/src/features/pools/pool-file.domain.ts';
import { FreesideEnv } from '../../services/freeside/src/config/env.ts';
import { GonogoEnv } from '../../services/gonogo/src/config/env.ts';
import {
  containersOf,
  named,
  render,
  VALUE_SETS,
  workloadsOf,
  type Container,
  type EnvVariable,
} from './support/render.ts';
import { findTool } from './support/tools.ts';

const helm = findTool('helm');

const SCHEMAS = [
  ['arrakis-freeside-api', FreesideEnv],
  ['arrakis-freeside-worker', FreesideEnv],
  ['arrakis-finn', FinnEnv],
  ['arrakis-controller', ControllerEnv],
  ['arrakis-gonogo', GonogoEnv],
] as const;

/** Name and default of every variable. */
function envProperties(schema: TObject): [string, { readonly default?: unknown }][] {
  return Object.entries(schema.properties);
}

/** Variables that only help to put another one together, by `$(NAME)`. */
function isPart(variable: EnvVariable, all: readonly EnvVariable[]): boolean {
  return all.some(({ value }) => value?.includes(`$(${variable.name})`));
}

describe.skipIf(helm === undefined).each(Object.keys(VALUE_SETS))(
  'the environment of %s',
  (set) => {
    const objects = helm === undefined ? [] : render(helm, set);
    const workloads = workloadsOf(objects);
    const mainOf = (name: string): Container => {
      const container = workloads.find((workload) => workload.name === name)?.pod.containers[0];
      if (container === undefined) throw new Error(`no ${name} was rendered`);
      return container;
    };

    it.each(SCHEMAS)('of %s holds only what the service reads', (name, schema) => {
      const known = new Set(envProperties(schema).map(([variable]) => variable));
      const env = mainOf(name).env ?? [];
      const unknown = env
        .filter((variable) => !isPart(variable, env))
        .map((variable) => variable.name)
        .filter((variable) => !known.has(variable) && !known.has(variable.replace(/_FILE$/, '')));
      expect(unknown).toEqual([]);
    });

    it.each(SCHEMAS)('of %s holds everything that has no default', (name, schema) => {
      const given = new Set((mainOf(name).env ?? []).map((variable) => variable.name));
      const required = new Set<string>(schema.required);
      const missing = envProperties(schema)
        .filter(
          ([variable, { default: fallback }]) => required.has(variable) && fallback === undefined,
        )
        .map(([variable]) => variable)
        .filter((variable) => !given.has(variable) && !given.has(`${variable}_FILE`));
      expect(missing).toEqual([]);
    });

    it('puts no value together from a variable that comes after it, or not at all', () => {
      for (const workload of workloads) {
        for (const { name, env = [] } of containersOf(workload)) {
          const before = new Set<string>();
          for (const variable of env) {
            for (const [, part = ''] of (variable.value ?? '').matchAll(/\$\(([A-Z_0-9]+)\)/g)) {
              expect.soft(before.has(part), `${workload.name}/${name}: ${part}`).toBe(true);
            }
            before.add(variable.name);
          }
        }
      }
    });

    it('sets no variable twice', () => {
      for (const workload of workloads) {
        for (const { name, env = [] } of containersOf(workload)) {
          const names = env.map((variable) => variable.name);
          expect.soft(new Set(names).size, `${workload.name}/${name}`).toBe(names.length);
        }
      }
    });

    it('has no secret in clear', () => {
      for (const workload of workloads) {
        for (const { name, env = [] } of containersOf(workload)) {
          for (const { name: variable, value } of env) {
            if (!/PASSWORD|PEPPER|API_KEY|TOKEN/.test(variable)) continue;
            expect.soft(value, `${workload.name}/${name} ${variable}`).toBeUndefined();
          }
        }
      }
      const texts = JSON.stringify(objects.filter(({ kind }) => kind !== 'Secret'));
      expect(texts).not.toMatch(/:\/\/[^"$@/]*:[^"$@/]+@/);
    });

    it('gives finn a pool file that it accepts', () => {
      const { data } = named(objects, 'ConfigMap', 'arrakis-finn-pools');
      expect(() => parsePoolFile(JSON.parse(data?.['pools.json'] ?? ''))).not.toThrow();
    });

    it('takes every Secret either from this chart or by a name from the values', () => {
      const made = objects.filter(({ kind }) => kind === 'Secret');
      const used = workloads.flatMap((workload) =>
        containersOf(workload).flatMap(({ env = [] }) =>
          env.flatMap(({ valueFrom }) => valueFrom?.secretKeyRef ?? []),
        ),
      );
      expect(used.length).toBeGreaterThan(5);
      if (set === 'production') {
        expect(made).toEqual([]);
        return;
      }
      for (const { name, key } of used) {
        const secret = made.find(({ metadata }) => metadata.name === name);
        expect.soft(Object.keys(secret?.data ?? {}), name).toContain(key);
        expect
          .soft(secret?.metadata.annotations)
          .toHaveProperty(['helm.sh/resource-policy'], 'keep');
      }
    });
  },
);
