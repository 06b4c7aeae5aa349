// In which order things may happen: what the end state does not show.

import { configuredGates, READINESS } from '../../src/core/gate-settings.ts';
import type { RunEvent } from '../../src/core/journal.ts';
import type { Mode } from '../../src/core/mode.ts';
import { ANNOTATION_EPOCH, LABEL_MODE } from '../../src/core/names.ts';
import { Playbook } from '../../src/core/playbook.ts';
import { modeLabel, nodeState } from '../../src/core/run-state.ts';
import { sharesChains } from '../../src/core/sweep.ts';
import { GATES } from '../../src/gates/index.ts';
import type { Write } from './checker.ts';
import type { SimProcess } from './sim-process.ts';

/** Gates of a playbook that says nothing about them. */
const ASKED = configuredGates(GATES, Playbook.parse({}));

type MomentOf = 'before-node' | 'prove' | 'after-node' | 'after-batch';

type Way = 'there' | 'back' | 'restart';

function needed(moment: MomentOf, way: Way): string[] {
  const gates = ASKED.filter(gate => gate.moments.includes(moment));
  if (way === 'back') return gates.map(gate => gate.id).filter(id => READINESS.has(id));
  // A plain restart has no time before it that the others could compare with.
  return gates.filter(gate => way === 'there' || gate.standsFor === undefined).map(gate => gate.id);
}

/** What one node has passed since its last warm and its last hand-over. */
interface Passed {
  readonly 'before-node': Set<string>;
  readonly prove: Set<string>;
  readonly 'after-node': Set<string>;
}

/** What one process has said so far. */
interface Said {
  /** Steps that it has durably intended, `node step`; phases. */
  readonly intended: Set<string>;
  readonly batchesDone: Set<string>;
  batches: readonly { id: string; nodes: readonly string[] }[];
  batch: string;
}

export class Order {
  /** Journal events of all processes, in order. */
  readonly events: RunEvent[] = [];
  private readonly nodes = new Map<string, Passed>();
  /** Gates passed after a batch, by its id, since one of its nodes was flipped last. */
  private readonly afterBatch = new Map<string, Set<string>>();
  private readonly processes = new Map<SimProcess, Said>();
  /** Nodes whose flip was begun and is not done. */
  private readonly flips = new Set<string>();
  private restarting: string | undefined;
  /** The shared configuration says the new mode. */
  committed = false;
  private readonly to: Mode;
  private readonly violation: (text: string) => void;

  /** Dead or gone: what the others do does not wait for it. */
  private readonly isAway: (node: string) => boolean;

  constructor(to: Mode, violation: (text: string) => void, isAway: (node: string) => boolean) {
    this.to = to;
    this.violation = violation;
    this.isAway = isAway;
  }

  appended(process: SimProcess, event: RunEvent): void {
    this.events.push(event);
    const said = this.said(process);
    if (event.event === 'run-opened') said.batches = event.batches;
    if (event.event === 'batch-started') this.batchStarts(said, event.batch);
    if (event.event === 'step-intended') {
      const batch = said.batches.find(b => b.nodes.includes(event.node));
      if (event.step === 'release' && batch) this.afterBatch.delete(batch.id);
    }
    if (event.event === 'batch-done') this.batchEnds(said, event.batch);
    if (event.event === 'gate-judged') this.judged(said, event);
  }

  durable(process: SimProcess, event: RunEvent): void {
    const { intended } = this.said(process);
    if (event.event === 'step-intended') intended.add(`${event.node} ${event.step}`);
    if (event.event === 'phase-started') intended.add(event.phase);
  }

  wrote(write: Write): void {
    const { resource, name, method, body, process } = write;
    const { intended } = this.said(process);
    const warm = /^proxyctl-warm-(.*)$/.exec(name)?.[1];
    if (resource === 'pods' && warm !== undefined && method === 'POST') this.passed(warm).prove.clear();
    if (resource === 'pods' && warm !== undefined && method === 'DELETE')
      this.intendedFor(process, warm, ['warm', 'prove', 'hand-over', 'call-off'], 'leave');
    if (resource !== 'nodes' || method !== 'PATCH') return;
    if (sealsOnly(body) && intended.has('take over')) return;
    const label = labelSet(body);
    const state = write.object && nodeState(write.object);
    if (!state) {
      if (!intended.has('leave')) this.violation(`I3: ${name} written without a durable intent`);
      return;
    }
    // What is done was intended as verify.
    const step = state.step === 'done' ? 'verify' : state.step;
    if (!intended.has(`${name} ${step}`)) this.violation(`I3: ${name} set to ${state.step} without a durable intent`);
    // Once there is no way but on, a flip that is left to do obeys no more gates than a way back.
    const there = state.to === this.to && !this.committed;
    // A late node stands as one that was given back, and what brought it there was a flip.
    const late = this.committed && this.flips.has(name);
    const way = state.from === state.to && !late ? 'restart' : there ? 'there' : 'back';
    if (state.from !== state.to) this.flips.add(name);
    if (state.step === 'done') this.flips.delete(name);
    if (state.step === 'warm' && way === 'there' && write.object && modeLabel(write.object) === undefined)
      this.demand(name, 'before-node', way);
    // One whose label was taken off on its way in is none.
    if (state.step === 'release' && modeLabel(write.object) === 'none') this.passed(name)['before-node'].clear();
    if (state.step === 'hand-over') {
      this.passed(name)['after-node'].clear();
      // What comes of a restart before is looked at as part of the flip.
      if (this.restarting === name) this.restarting = undefined;
    }
    if (state.from !== state.to) {
      // Two that write the same chains: what the warm one wrote is looked at once it is alone.
      const later = sharesChains(state.from, state.to) ? ['kernel-rules'] : [];
      if (state.step === 'release' && label === 'none') this.demand(name, 'prove', way, later);
      if (state.step === 'hand-over') this.demand(name, 'prove', way);
    }
    if (state.step === 'done') this.demand(name, 'after-node', way);
  }

  /** A plain restart of the node's kube-proxy was asked for; the one before must serve by then, unless it is away. */
  restarted(process: SimProcess, node: string): void {
    this.intendedFor(process, node, ['verify', 'call-off'], 'restart');
    if (this.restarting !== undefined && this.restarting !== node && !this.isAway(this.restarting))
      this.demand(this.restarting, 'after-node', 'restart');
    this.restarting = node;
    this.passed(node)['after-node'].clear();
  }

  /** A kube-proxy is taken away: one of these steps of its node was intended, or that phase. */
  private intendedFor(process: SimProcess, node: string, steps: readonly string[], phase: string): void {
    const { intended } = this.said(process);
    if (intended.has(phase) || steps.some(step => intended.has(`${node} ${step}`))) return;
    this.violation(`I3: a kube-proxy of ${node} taken away without a durable intent`);
  }

  /** The way back of a node is called proven: behind all gates, as a flip is, not only those that a rollback obeys. */
  wayBackProven(node: string): void {
    this.demand(node, 'after-node', 'there');
  }

  /** @param moment whose gates must all have passed, on this node. */
  private demand(
    node: string,
    moment: Exclude<MomentOf, 'after-batch'>,
    way: Way,
    later: readonly string[] = [],
  ): void {
    const passed = this.passed(node)[moment];
    const missing = needed(moment, way).filter(id => !passed.has(id) && !later.includes(id));
    if (missing.length > 0) this.violation(`${moment} gates of ${node} were not passed: ${missing.join(', ')}`);
  }

  private batchStarts(said: Said, batch: string): void {
    const ids = said.batches.map(b => b.id);
    const open = ids.slice(0, ids.indexOf(batch)).filter(id => !said.batchesDone.has(id));
    if (open.length > 0) this.violation(`I2: ${batch} began before ${open.join(', ')} was done`);
    said.batch = batch;
  }

  private batchEnds(said: Said, batch: string): void {
    const passed = this.afterBatch.get(batch);
    const missing = needed('after-batch', 'there').filter(id => !passed?.has(id));
    if (missing.length > 0) this.violation(`I2: gates after ${batch} were not passed: ${missing.join(', ')}`);
    said.batchesDone.add(batch);
  }

  private judged(said: Said, event: RunEvent & { event: 'gate-judged' }): void {
    const { moment, gate, verdict } = event;
    let set: Set<string> | undefined;
    if (moment === 'before-node' || moment === 'prove' || moment === 'after-node')
      set = this.passed(event.node ?? '')[moment];
    if (moment === 'after-batch') {
      set = this.afterBatch.get(said.batch) ?? new Set();
      this.afterBatch.set(said.batch, set);
    }
    if (verdict === 'pass') set?.add(gate);
    else set?.delete(gate);
  }

  private passed(node: string): Passed {
    let passed = this.nodes.get(node);
    if (!passed) {
      passed = { 'before-node': new Set(), prove: new Set(), 'after-node': new Set() };
      this.nodes.set(node, passed);
    }
    return passed;
  }

  private said(process: SimProcess): Said {
    let said = this.processes.get(process);
    if (!said) {
      said = { intended: new Set(), batchesDone: new Set(), batches: [], batch: '' };
      this.processes.set(process, said);
    }
    return said;
  }
}

/** The patch writes a fence and nothing else. */
function sealsOnly(body: unknown): boolean {
  const ops = body as { op: string; path: string }[];
  return ops.every(({ op, path }) => op === 'test' || path.endsWith(ANNOTATION_EPOCH.replace('/', '~1')));
}

/** The label that a patch of a node sets. */
function labelSet(body: unknown): unknown {
  const ops = body as { path: string; value?: unknown }[];
  return ops.find(op => op.path.endsWith(`/${LABEL_MODE.replace('/', '~1')}`))?.value;
}
