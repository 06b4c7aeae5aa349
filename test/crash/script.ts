// What scenarios of one bed are written with.
import assert from 'node:assert/strict';
import type { Action, Bed } from './bed.ts';
import { owner } from './virtual-time.ts';

/** Runs a command to its end, which must be this one. Gives what it printed, on one line. */
export async function ends(bed: Bed, action: Action, code: number, says = /./): Promise<string> {
  const process = bed.process(action);
  assert.equal(await bed.run(process, action), code, process.output);
  const said = process.output.replaceAll(/\s+/g, ' ');
  assert.match(said, says);
  return said;
}

/** Does it once, as soon as a node (this one, where it is given) is in this step, or a phase of that name begins. */
export function when(bed: Bed, what: string, act: (node: string) => void, on?: string): void {
  let done = false;
  bed.checker.heard = event => {
    if (done) return;
    const step = event.event === 'step-intended' && event.step === what ? event.node : undefined;
    if (step === undefined && !(event.event === 'phase-started' && event.phase === what)) return;
    if (on !== undefined && step !== on) return;
    done = true;
    // What it sets off goes on when the process that was heard has ended.
    owner.run(undefined, () => act(step ?? ''));
  };
}

/** The nodes of the plan, in its order. */
export function planned({ checker }: Bed): string[] {
  const opened = checker.order.events.find(event => event.event === 'run-opened');
  assert.ok(opened);
  return opened.batches.flatMap(batch => batch.nodes);
}

/** `namespace/name` of one that has endpoints. */
export function aService({ sim }: Bed): string {
  const slice = sim.store
    .list('EndpointSlice')
    .find(s => (s.endpoints ?? []).length > 0 && s.metadata.namespace !== 'default');
  return `${slice?.metadata.namespace}/${slice?.metadata.labels?.['kubernetes.io/service-name']}`;
}
