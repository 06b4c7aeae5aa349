// Nodes that come late to a finalize, or cannot be read; test/mutants plays these too.
import { it } from 'vitest';
import * as late from './late-nodes.ts';

const TIMEOUT = { timeout: 600_000 };

it('a node that joins while finalize waits for the Lease stops it before it writes', TIMEOUT, late.joinedBeforeCommit);
it('a node that joins too late to be seen is flipped by finalize', TIMEOUT, late.joinedUnseen);
it('a late node that cannot be flipped keeps no other from its end', TIMEOUT, late.joinedUnable);
it('a finalize killed in the flip of a late node goes on', TIMEOUT, late.joinedUnseenAndKilled);
it('a log that does not tell the mode does not stop finalize where the node was proven', TIMEOUT, late.logsDoNotTell);
it('a node that is not Ready stops finalize before it writes', TIMEOUT, late.notReady);
it('a node that is away after the commit is passed over', TIMEOUT, late.awayAfterCommit);
it('a late node goes back with the others when somebody undoes the commit', TIMEOUT, late.putBackAfterLate);
it('a node that was made anew stops finalize before it writes', TIMEOUT, late.madeAnew);
