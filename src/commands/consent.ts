// What a run starts on this machine comes from a playbook. One that was given here, or was used from here before, is the
// operator's own; one that only stands in the cluster is whoever's may write there.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { canonicalJson } from '../core/canonical.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Playbook } from '../core/playbook.ts';
import type { RunRecord } from '../core/run-state.ts';
import { outsideLines } from '../report/outside-text.ts';
import { diskTrouble } from '../run/disk-trouble.ts';
import type { CommandIo } from './io.ts';
import { runFolder, sha256 } from './session.ts';

/** Remembers on this machine what the run may start and ask. */
export function rememberConsent(record: RunRecord): void {
  const file = consentFile(record);
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, `${digest(record.plan.playbook)}\n`, { mode: 0o600 });
  } catch (cause) {
    throw diskTrouble(file, cause);
  }
}

/**
 * Shows what a run that stands in the cluster would start on this machine. ProxyctlError (usage) when nobody here has ever
 * agreed to it and nobody can be asked. `own` is the playbook that was given with the call.
 */
export function showForeign(io: CommandIo, record: RunRecord, own: Playbook | undefined, yes: boolean): void {
  const { playbook } = record.plan;
  const lines = outsideLines(playbook, io.width);
  if (lines.length === 0) return;
  const wanted = digest(playbook);
  if ((own && digest(own) === wanted) || agreed(record) === wanted) return;
  io.err(lines.join('\n'));
  if (!yes && io.interactive) return;
  const message = `run ${record.run} would start the above on this machine, as its record in the cluster says, and was not started from here`;
  const advice = "give its plan or --playbook to 'proxyctl migrate', or answer on a terminal";
  throw new ProxyctlError(`${message}: ${advice}`, EXIT.usage);
}

function digest({ gates: { hooks, prometheus } }: Playbook): string {
  return sha256(canonicalJson({ hooks, prometheus }));
}

function agreed(record: RunRecord): string | undefined {
  try {
    return readFileSync(consentFile(record), 'utf8').trim();
  } catch {
    // The run was started elsewhere.
    return undefined;
  }
}

function consentFile(record: RunRecord): string {
  return join(runFolder(record), 'agreed');
}
