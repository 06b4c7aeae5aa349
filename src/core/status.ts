// Where each node stands: what it should serve in, what it serves in, and what does not fit. Pure: from what was read.
import type { ClusterIdentity, Inventory, NodeFacts } from './inventory.ts';
import { type EffectiveMode, isMode, MODES, type Mode } from './mode.ts';
import type { NodeView } from './node-view.ts';
import { type Original, ofOriginal } from './original.ts';
import type { NodeState, RunRecord, Step } from './run-state.ts';
import type { Doing } from './steering.ts';
import { count, few } from './words.ts';

export const STATUS_VERSION = 1;

/** What is to be said of a node. `unfit` does not fit; `info` is only worth knowing. */
export interface StatusNote {
  readonly level: 'unfit' | 'info';
  readonly code:
    | 'wrong-mode'
    | 'between-modes'
    | 'latent-flip'
    | 'joined'
    | 'without-run'
    | 'warm-left'
    | 'residue'
    | 'no-rules'
    | 'not-looked'
    | 'not-ready'
    | 'mode-unknown'
    | 'restarts'
    | 'image';
  readonly text: string;
}

/** What a watcher read of a node's kernel. */
export interface StatusKernel {
  /** Modes whose rules are there, and those that could not be read. */
  readonly modes: readonly Mode[];
  readonly unread: readonly Mode[];
  /** Traces of modes other than the one that serves. */
  readonly residue: readonly string[];
}

export interface StatusNode {
  readonly name: string;
  readonly ready: boolean;
  /** What it should serve in now; absent when nothing says so. */
  readonly planned?: Mode;
  /** What serves there now, and who says so. */
  readonly mode: EffectiveMode;
  readonly modeSource: 'kube-proxy log' | 'kube-proxy' | 'not looked at';
  /** Since when its kube-proxy runs, ISO 8601. */
  readonly since?: string;
  /** Where the run's plan has it, and where it came from. */
  readonly batch?: string;
  readonly from?: Mode;
  /** Value of our label, and the last step that was intended for it. */
  readonly label?: string;
  readonly step?: Step;
  readonly to?: Mode;
  /** The mode that the next start of its kube-proxy takes, by the ConfigMap that it mounts. */
  readonly nextStart?: Mode;
  /** Absent: nobody looked at its kernel. */
  readonly kernel?: StatusKernel;
  readonly notes: readonly StatusNote[];
}

/** Where a run stands, read from the cluster alone. Readers ignore fields that they do not know. */
export interface RunStatus {
  readonly kind: 'RunStatus';
  readonly version: typeof STATUS_VERSION;
  readonly cluster: ClusterIdentity;
  /** `holder` is empty when nobody runs it at the moment; `doing` is what its runner said last. */
  readonly run?: {
    readonly id: string;
    readonly to: Mode;
    readonly startedAt: string;
    readonly holder: string;
    readonly doing?: Doing;
    /** The node on which the way back is rehearsed, and when it was proven. */
    readonly rehearsal?: { readonly node: string; readonly provenAt?: string };
  };
  /** The mode in kube-proxy's shared configuration. */
  readonly shared?: Mode;
  readonly nodes: readonly StatusNode[];
  /** What does not fit, one line each; empty when all is as it should be. */
  readonly unfit: readonly string[];
}

/** What was read. Names are untrusted text. */
export interface StatusFacts {
  readonly inventory: Inventory;
  readonly record?: RunRecord | undefined;
  readonly holder: string;
  readonly doing?: Doing | undefined;
  readonly states: ReadonlyMap<string, NodeState>;
  /** The mode in each ConfigMap that a kube-proxy mounts, by name. */
  readonly configModes: ReadonlyMap<string, Mode>;
  /** Nodes that a warm kube-proxy runs on. */
  readonly warm: ReadonlySet<string>;
  /** What became of kube-proxy's own DaemonSet in a run: whether it is kept off flipped nodes, or is there at all. */
  readonly original?: Original | undefined;
  /** Watcher and sweeper pods. */
  readonly watchers: readonly string[];
  /** Our objects beside kube-proxy's own, as `daemonset kube-system/kube-proxy-nftables`. */
  readonly objects: readonly string[];
  /** By node; a text says why one could not be looked at. Absent: nobody was asked to look. */
  readonly views?: ReadonlyMap<string, NodeView | string> | undefined;
}

export function statusOf(facts: StatusFacts): RunStatus {
  const { inventory, record, holder, doing } = facts;
  const shared = facts.configModes.get(inventory.proxy.configMap?.name ?? '');
  const reader = new Reader(facts, shared);
  const nodes = inventory.nodes.filter(node => node.os !== 'windows').map(node => reader.read(node));
  return {
    kind: 'RunStatus',
    version: STATUS_VERSION,
    cluster: inventory.cluster,
    ...(record
      ? {
          run: {
            id: record.run,
            to: record.plan.to,
            startedAt: record.startedAt,
            holder,
            ...(doing ? { doing } : {}),
            ...rehearsalOf(record),
          },
        }
      : {}),
    ...(shared ? { shared } : {}),
    nodes,
    unfit: [...ofCluster(facts, nodes), ...folded(nodes)],
  };
}

function rehearsalOf({ plan, rehearsed }: RunRecord): Pick<NonNullable<RunStatus['run']>, 'rehearsal'> {
  if (rehearsed) return { rehearsal: { node: rehearsed.node, provenAt: rehearsed.at } };
  const node = plan.batches.find(batch => batch.rehearses !== undefined)?.rehearses;
  return node === undefined ? {} : { rehearsal: { node } };
}

class Reader {
  private readonly facts: StatusFacts;
  private readonly shared: Mode | undefined;
  private readonly planned: ReadonlyMap<string, { from: Mode; batch: string }>;
  private readonly skipped: ReadonlySet<string>;

  constructor(facts: StatusFacts, shared: Mode | undefined) {
    this.facts = facts;
    this.shared = shared;
    const { batches = [], skipped = [] } = facts.record?.plan ?? {};
    this.planned = new Map(batches.flatMap(b => b.nodes.map(n => [n.name, { from: n.from, batch: b.id }] as const)));
    this.skipped = new Set(skipped.map(node => node.name));
  }

  read(node: NodeFacts): StatusNode {
    const plan = this.planned.get(node.name);
    const state = this.facts.states.get(node.name);
    const pod = node.proxyPod;
    const nextStart = this.facts.configModes.get(pod?.configMap ?? '');
    const planned = this.shouldServe(node, state);
    const told = this.effective(node);
    const seen: Omit<StatusNode, 'notes'> = {
      name: node.name,
      ready: node.ready,
      ...(planned ? { planned } : {}),
      ...told,
      ...(pod?.startedAt === undefined ? {} : { since: pod.startedAt }),
      ...(plan ? plan : {}),
      ...(node.label === undefined ? {} : { label: node.label }),
      ...(state ? { step: state.step, to: state.to } : {}),
      ...(nextStart ? { nextStart } : {}),
      ...this.kernel(node, told.mode),
    };
    return { ...seen, notes: [...this.ofRun(seen), ...this.ofMode(seen), ...this.ofKernel(seen), ...this.aside(node)] };
  }

  /** The label is the truth of a run; without one the original DaemonSet serves, in the mode that the node was planned from. */
  private shouldServe(node: NodeFacts, state: NodeState | undefined): Mode | undefined {
    if (node.label === 'none') return state?.to;
    if (node.label !== undefined && isMode(node.label)) return node.label;
    return this.planned.get(node.name)?.from ?? this.shared;
  }

  private effective(node: NodeFacts): Pick<StatusNode, 'mode' | 'modeSource'> {
    const view = this.facts.views?.get(node.name);
    const answer = typeof view === 'object' ? view.proxy.main?.mode : undefined;
    if (answer && isMode(answer)) return { mode: answer, modeSource: 'kube-proxy' };
    return { mode: node.mode, modeSource: node.modeSource };
  }

  private kernel(node: NodeFacts, mode: EffectiveMode): { kernel?: StatusKernel } {
    const view = this.facts.views?.get(node.name);
    if (typeof view !== 'object' || !view.kernel) return {};
    const { modes } = view.kernel;
    const residue = MODES.filter(other => other !== mode).flatMap(other => modes[other]?.traces ?? []);
    return {
      kernel: {
        modes: MODES.filter(one => modes[one]?.present),
        unread: MODES.filter(one => modes[one] === undefined),
        residue: [...new Set(residue)],
      },
    };
  }

  /** Somebody is at it right now: what stands between two modes there is as it should be. */
  private inHand(node: Pick<StatusNode, 'step'>): boolean {
    return this.facts.holder !== '' && node.step !== undefined && node.step !== 'done';
  }

  private ofRun({ name, label, step, to, mode }: Omit<StatusNode, 'notes'>): StatusNote[] {
    const { record, warm } = this.facts;
    const notes: StatusNote[] = [];
    if (!record && (label !== undefined || step !== undefined)) {
      const bears = label === undefined ? "proxyctl's annotation" : `proxyctl's label (${label})`;
      notes.push(unfit('without-run', `bears ${bears}, and no run stands in this cluster`));
    }
    if (label === 'none')
      notes.push(
        unfit(
          'between-modes',
          `is between two modes${to ? ` (to ${to})` : ''}: its kube-proxy was released and not yet handed over`,
        ),
      );
    if (warm.has(name) && !this.inHand({ ...(step ? { step } : {}) }))
      notes.push(unfit('warm-left', 'has a warm kube-proxy beside its own, and nobody is at work there'));
    if (record && !this.planned.has(name) && !this.skipped.has(name)) {
      const text = `joined after the plan was made and serves in mode ${mode}`;
      const how = "'proxyctl migrate' without a plan file brings it along";
      notes.push(
        mode === record.plan.to ? { level: 'info', code: 'joined', text } : unfit('joined', `${text}: ${how}`),
      );
    }
    return notes;
  }

  private ofMode({ planned, mode, nextStart, label }: Omit<StatusNode, 'notes'>): StatusNote[] {
    if (!isMode(mode)) {
      const why = mode === 'none' ? 'another program serves Services there' : 'its mode could not be read';
      return mode === 'none' ? [] : [{ level: 'info', code: 'mode-unknown', text: why }];
    }
    const notes: StatusNote[] = [];
    const served = label !== undefined || this.facts.record !== undefined;
    // Without a run the shared configuration is all that says what should be, and that is told as what the next start does.
    if (served && label !== 'none' && planned && planned !== mode)
      notes.push(unfit('wrong-mode', `should serve in mode ${planned} and serves in ${mode}`));
    if (nextStart && nextStart !== mode)
      notes.push(
        unfit(
          'latent-flip',
          `serves in mode ${mode}, and the next start of its kube-proxy takes ${nextStart}, as its configuration says by now`,
        ),
      );
    return notes;
  }

  private ofKernel({ name, kernel, mode, step }: Omit<StatusNode, 'notes'>): StatusNote[] {
    const view = this.facts.views?.get(name);
    if (typeof view === 'string') return [unfit('not-looked', `could not be looked at: ${view}`)];
    if (!kernel || !isMode(mode)) return [];
    const notes: StatusNote[] = [];
    if (kernel.unread.length > 0)
      notes.push(unfit('not-looked', `holds rules that could not be read: ${kernel.unread.join(', ')}`));
    if (!kernel.modes.includes(mode) && !kernel.unread.includes(mode))
      notes.push(unfit('no-rules', `holds no rules of mode ${mode}, in which it serves`));
    if (kernel.residue.length > 0 && !this.inHand({ ...(step ? { step } : {}) }))
      notes.push(unfit('residue', `holds what other modes left beside ${mode}: ${few(kernel.residue, 8)}`));
    return notes;
  }

  private aside({ ready, proxyPod }: NodeFacts): StatusNote[] {
    const notes: StatusNote[] = [];
    const image = this.facts.inventory.proxy.daemonSet?.image;
    if (!ready) notes.push({ level: 'info', code: 'not-ready', text: 'is not Ready' });
    if (proxyPod && proxyPod.restarts > 0)
      notes.push({ level: 'info', code: 'restarts', text: `kube-proxy restarted ${count(proxyPod.restarts, 'time')}` });
    if (proxyPod && image !== undefined && proxyPod.image !== image)
      notes.push({ level: 'info', code: 'image', text: `runs ${proxyPod.image}, the DaemonSet has ${image}` });
    return notes;
  }
}

function unfit(code: StatusNote['code'], text: string): StatusNote {
  return { level: 'unfit', code, text };
}

function ofCluster(
  { record, holder, objects, original, watchers }: StatusFacts,
  nodes: readonly StatusNode[],
): string[] {
  const flipped = nodes.filter(node => node.label !== undefined && node.label !== 'none').map(node => node.name);
  const found = record && original ? ofOriginal(original, flipped) : [];
  const known = new Set(nodes.map(n => n.mode).filter(isMode));
  if (!record && known.size > 1)
    found.push(`nodes serve in ${[...known].join(' and ')}, and no run of proxyctl explains it`);
  if (!record && objects.length > 0)
    found.push(
      `left of a run whose record is gone: ${few(objects, 8)}; remove them once no node bears proxyctl's label`,
    );
  if (holder === '' && watchers.length > 0)
    found.push(`${count(watchers.length, 'watcher pod')} of a run that nobody runs: ${few(watchers)}`);
  return found;
}

/** What is to be said of several nodes, once. */
function folded(nodes: readonly StatusNode[]): string[] {
  const notes = nodes.flatMap(({ name, notes: own }) => own.map(note => ({ name, ...note })));
  const groups = Map.groupBy(
    notes.filter(n => n.level === 'unfit'),
    n => n.text,
  );
  return [...groups].map(([text, members]) => `${few(members.map(n => n.name))}: ${text}`);
}
