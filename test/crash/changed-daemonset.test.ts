// Somebody else changes kube-proxy's DaemonSet in the middle of a run; test/mutants plays these too.
import { it } from 'vitest';
import * as changed from './changed-daemonset.ts';

const TIMEOUT = { timeout: 600_000 };

it('a DaemonSet that was restarted stops finalize before it writes', TIMEOUT, changed.restartedBeforeFinalize);
it('a DaemonSet that was put back stops finalize before it writes', TIMEOUT, changed.putBackBeforeFinalize);
it(
  'a DaemonSet that is changed within finalize halts it; called again it goes on',
  TIMEOUT,
  changed.changedWithinFinalize,
);
it(
  'a DaemonSet that is put back within finalize halts it; called again it goes on',
  TIMEOUT,
  changed.putBackWithinFinalize,
);
it('a changed DaemonSet halts migrate, and a rollback keeps the change', TIMEOUT, changed.changedWithinMigrate);
it('an upgraded DaemonSet halts migrate, and a rollback keeps the upgrade', TIMEOUT, changed.upgradedBeforeRollback);
