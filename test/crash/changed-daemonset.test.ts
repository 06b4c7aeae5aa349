// Somebody else changes kube-proxy's DaemonSet in the middle of a run; test/mutants plays these too.
import { it } from 'vitest';
import * as changed from './changed-daemonset.ts';

const TIMEOUT = { timeout: 600_000 };

it('a changed DaemonSet halts migrate, and a rollback keeps the change', TIMEOUT, changed.changedWithinMigrate);
it('an upgraded DaemonSet halts migrate, and a rollback keeps the upgrade', TIMEOUT, changed.upgradedBeforeRollback);
