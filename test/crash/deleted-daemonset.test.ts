// Somebody else deletes kube-proxy's DaemonSet in the middle of a run, and makes it anew or does not; test/mutants plays these too.
import { it } from 'vitest';
import * as lost from './deleted-daemonset.ts';

const TIMEOUT = { timeout: 600_000 };

it('a DaemonSet that is deleted halts migrate, and a rollback makes it anew', TIMEOUT, lost.deletedWithinMigrate);
it('a DaemonSet that is made anew halts migrate, which then goes on', TIMEOUT, lost.madeAnewWithinMigrate);
it('a DaemonSet that is made anew, and a rollback', TIMEOUT, lost.madeAnewThenRollback);
it('a DaemonSet that is deleted when the runner is dead keeps nobody from a takeover', TIMEOUT, lost.deletedAfterKill);
it('a DaemonSet that is made anew with another template', TIMEOUT, lost.madeAnewDifferently);
it('a DaemonSet that is lost after the last release keeps the run from being done', TIMEOUT, lost.lostAtTheEnd);
it('a DaemonSet that is lost stops finalize before it writes', TIMEOUT, lost.lostBeforeFinalize);
it('a DaemonSet that is lost within finalize halts it; called again it goes on', TIMEOUT, lost.lostWithinFinalize);
it('a DaemonSet that is deleted within a rollback halts it; called again it goes on', TIMEOUT, lost.lostWithinRollback);
