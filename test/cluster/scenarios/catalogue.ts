import type { Scenario } from '../lib/scenario.ts';
import { install, uninstall } from './install.ts';

/** In the order in which they are told. */
export const SCENARIOS: readonly Scenario[] = [install, uninstall];
