// What becomes of runs whose Lease is deleted, or was another's; test/mutants plays these too.
import { it } from 'vitest';
import * as lease from './lease.ts';

const TIMEOUT = { timeout: 600_000 };

it('a run whose Lease was deleted goes on with the next call', TIMEOUT, lease.leaseDeleted);
it('a look at nodes that slept takes no namespace away from a run', TIMEOUT, lease.lookThatSlept);
it('nor does one that slept with its delete in hand', TIMEOUT, lease.lookThatSleptAtTheEnd);
it(
  'a rollback that slept with the delete of the record in hand takes it from nobody',
  TIMEOUT,
  lease.rollbackThatSleptAtTheEnd,
);
it('what a runner left that died before its run was recorded goes with a rollback', TIMEOUT, lease.leftBehind);
it('but not while somebody looks at nodes', TIMEOUT, lease.lookGoesOn);
it('a warm kube-proxy that goes while it is taken over stops nobody', TIMEOUT, lease.goneWhileSealed);
