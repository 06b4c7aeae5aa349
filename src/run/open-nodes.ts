// Which nodes a rollback has to put back, and which of them it cannot reach now.
import type { KubeObject } from '../core/cluster.ts';
import type { FlipNode } from '../core/driver.ts';
import { ApiError, WaitedInVain } from '../core/errors.ts';
import type { Mode } from '../core/mode.ts';
import { isReady } from '../core/node-object.ts';
import { modeLabel, nodeState, type Step } from '../core/run-state.ts';
import { type Engine, Red } from './engine.ts';

export interface OpenNode {
  node: FlipNode;
  batch: string;
  touched: 'flipped' | 'warmed';
  /** Between two modes, or in a new one that is not proven. */
  inHand: boolean;
  /** It was when this was asked, and is not to be left as it is. */
  ready: boolean;
}

/** The nodes of the cluster by name. */
export async function nodesNow({ run }: Pick<Engine, 'run'>): Promise<ReadonlyMap<string, KubeObject>> {
  const nodes = new Map<string, KubeObject>();
  for await (const node of run.cluster.list('Node')) nodes.set(node.metadata.name, node);
  return nodes;
}

/**
 * Nodes that are not as they were, and how far each had come: last planned first, but before them who is between two modes, and
 * those that are not Ready last.
 */
export async function openNodes(engine: Engine): Promise<OpenNode[]> {
  const open: OpenNode[] = [];
  const nodes = await nodesNow(engine);
  for (const batch of [...engine.run.plan.batches].reverse()) {
    for (const planned of [...batch.nodes].reverse()) {
      const object = nodes.get(planned.name);
      if (!object) continue;
      const node: FlipNode = { name: planned.name, from: engine.run.plan.to, to: planned.from, home: 'original' };
      const touched = touchedBy(object, engine.run.plan.to);
      const inHand = isBetween(object, engine.run.plan.to);
      const ready = isReady(object) && !engine.skipped.has(planned.name);
      if (touched) open.push({ node, batch: batch.id, touched, inHand, ready });
    }
  }
  return readyFirst([...open.filter(node => node.inHand), ...open.filter(node => !node.inHand)]);
}

function touchedBy(object: KubeObject, to: Mode): OpenNode['touched'] | undefined {
  if (isOpen(object) || isGivenBack(object, to)) return 'flipped';
  return nodeState(object)?.step === 'warm' ? 'warmed' : undefined;
}

/** Between two modes, or in a new one that is not proven; not so where the new mode serves beside a warm kube-proxy of the old one. */
export function isBetween(object: KubeObject, to: Mode): boolean {
  const step = nodeState(object)?.step;
  return touchedBy(object, to) !== undefined && step !== 'done' && !(step === 'warm' && modeLabel(object) === to);
}

export function readyFirst<T extends { readonly ready: boolean }>(nodes: readonly T[]): T[] {
  return [...nodes.filter(node => node.ready), ...nodes.filter(node => !node.ready)];
}

/** Ours, or given back by a run that ended before anybody had looked at it. */
export function isOpen(node: KubeObject): boolean {
  const step = nodeState(node)?.step;
  return modeLabel(node) !== undefined || step === 'release' || step === 'hand-over';
}

/** By a finalize whose shared configuration somebody put back: it serves in the new mode until its next restart. */
function isGivenBack(node: KubeObject, to: Mode): boolean {
  const state = nodeState(node);
  return modeLabel(node) === undefined && state?.step === 'done' && state.from === to && state.to === to;
}

/** The new mode serves there as before. */
export async function isFlipped({ run }: Engine, name: string): Promise<boolean> {
  const object = await run.cluster.get({ kind: 'Node', name });
  return object !== undefined && modeLabel(object) === run.plan.to;
}

/** Nodes of the plan that bear this step. */
export function bearing({ run }: Engine, nodes: ReadonlyMap<string, KubeObject>, wanted: Step): string[] {
  const names = run.plan.batches.flatMap(b => b.nodes.map(n => n.name));
  return names.filter(name => {
    const object = nodes.get(name);
    return object !== undefined && nodeState(object)?.step === wanted;
  });
}

/**
 * Does it on a node. Gives why it is to be done later while others may go on: the node is not Ready or to be skipped, or what
 * went wrong is `bearable`. Undefined when it is done, or the node is gone. Throws what else went wrong.
 */
export async function unlessAway(
  engine: Engine,
  name: string,
  perform: () => Promise<void>,
  bearable: () => boolean | Promise<boolean>,
): Promise<string | undefined> {
  const before = await away(engine, name);
  if (before) return passedOver(engine, name, before);
  try {
    await perform();
    return undefined;
  } catch (error) {
    const failed = error instanceof Red || error instanceof WaitedInVain;
    if (!failed && !(error instanceof ApiError && error.status === 404)) throw error;
    const since = await away(engine, name);
    if (since) return passedOver(engine, name, since);
    if (!failed || !(await bearable())) throw error;
    return error.message;
  }
}

type Away = 'gone' | 'not Ready' | 'skipped';

async function away({ run, skipped }: Engine, name: string): Promise<Away | undefined> {
  const object = await run.cluster.get({ kind: 'Node', name });
  if (!object) return 'gone';
  if (skipped.has(name)) return 'skipped';
  return isReady(object) ? undefined : 'not Ready';
}

function passedOver({ journal }: Engine, name: string, why: Away): string | undefined {
  journal.append({ event: 'note', text: `node ${name} is ${why}, and passed over` });
  return why === 'gone' ? undefined : why;
}
