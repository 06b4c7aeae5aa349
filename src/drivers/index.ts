import type { Driver } from '../core/driver.ts';
import { daemonsetDriver } from './daemonset/driver.ts';

export const DRIVERS: readonly Driver[] = [daemonsetDriver];
