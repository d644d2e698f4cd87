import type { Scenario } from '../lib/scenario.ts';
import { install, uninstall } from './install.ts';
import { backends } from './backends.ts';
import { flagScenarios } from './flags.ts';
import { gateScenarios } from './gates.ts';
import { permissions } from './permissions.ts';
import { roles } from './roles.ts';
import { rotation } from './rotation.ts';
import { suites } from './suites.ts';
import { upgrade } from './upgrade.ts';

/** In the order in which they are told. */
export const SCENARIOS: readonly Scenario[] = [
  install,
  permissions,
  roles,
  rotation,
  ...flagScenarios,
  upgrade,
  backends,
  ...gateScenarios,
  suites,
  uninstall,
];
