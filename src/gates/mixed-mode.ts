import type { KubeObject } from '../core/cluster.ts';
import { configuredMode } from '../core/configured-mode.ts';
import { nodeInFlip, nodesInScope } from '../core/evidence.ts';
import { defineGate, type Finding, type Look } from '../core/gate.ts';
import type { NodeFacts } from '../core/inventory.ts';
import { isMode, type Mode } from '../core/mode.ts';
import { modeLabel } from '../core/run-state.ts';
import { count, few } from '../core/words.ts';

/** A node as the API shows it now: its label, or that it is gone. */
interface Labelled {
  readonly name: string;
  readonly there: boolean;
  readonly label: string | undefined;
}

/** Mode is per node: what a cluster is said to be in says nothing about each of them. */
export const mixedMode = defineGate({
  id: 'mixed-mode',
  title: 'Every node is in the mode that it should be in',
  hint: "'proxyctl status' shows the nodes by mode; a run that was left half done is ended by 'proxyctl migrate' or 'proxyctl rollback'",
  moments: ['preflight', 'before-node', 'after-batch', 'verify'],
  async observe(look) {
    return readsInventory(look) ? [] : labels(look);
  },
  judge(nodes, look) {
    return readsInventory(look) ? inCluster(look) : inRun(nodes, look);
  },
});

/** Outside runs nothing is expected of a node. */
const readsInventory = ({ moment }: Look) => moment === 'preflight' || moment === 'verify';

async function labels(look: Look): Promise<Labelled[]> {
  if (!look.cluster) throw new Error('no cluster to ask');
  if (look.moment === 'before-node') {
    const { name } = nodeInFlip(look);
    return [labelled(name, await look.cluster.get({ kind: 'Node', name }))];
  }
  const seen = new Map<string, KubeObject>();
  for await (const node of look.cluster.list('Node')) seen.set(node.metadata.name, node);
  return [...new Set([...look.expectedModes.keys(), ...seen.keys()])].map(name => labelled(name, seen.get(name)));
}

function labelled(name: string, object: KubeObject | undefined): Labelled {
  return { name, there: object !== undefined, label: object && modeLabel(object) };
}

function inCluster(look: Look): { findings: Finding[]; summary: string } {
  const nodes = nodesInScope(look);
  const byMode = Map.groupBy(nodes, n => n.mode);
  const unknown = byMode.get('unknown') ?? [];
  const known = [...byMode].filter(([mode]) => mode !== 'unknown');
  const findings: Finding[] = [];
  const inRunNow = nodes.filter(n => n.label !== undefined);
  if (inRunNow.length > 0) {
    const message = `a run of proxyctl stands, neither finalized nor rolled back: ${count(inRunNow.length, 'node bears its label', 'nodes bear its label')}`;
    findings.push({ level: 'warning', subject: 'cluster', message });
  } else if (known.length > 1) {
    for (const [mode, members] of known) {
      const message = `more than one mode in the cluster; ${mode}: ${count(members.length, 'node')}, ${few(members.map(n => n.name))}`;
      findings.push({ level: 'error', subject: `mode ${mode}`, message });
    }
  }
  if (inRunNow.length === 0) findings.push(...latentFlips(nodes, look));
  if (unknown.length > 0) {
    const message = `the mode of ${count(unknown.length, 'node')} could not be read: ${few(unknown.map(n => n.name))}`;
    findings.push({ level: 'inconclusive', subject: 'cluster', message });
  }
  return {
    findings,
    summary: known.map(([mode, members]) => `${count(members.length, 'node')} in mode ${mode}`).join(', '),
  };
}

/** The shared configuration says another mode than serves: the next start of these kube-proxies is a flip with a gap. */
function latentFlips(nodes: readonly NodeFacts[], look: Look): Finding[] {
  const next = look.proxyConfig && configuredMode(look.proxyConfig, look.inventory.proxy.daemonSet?.image);
  const others = nodes.filter(n => isMode(n.mode) && next !== undefined && n.mode !== next);
  if (next === undefined || others.length === 0) return [];
  const who = `${count(others.length, 'node serves', 'nodes serve')} in another (${few(others.map(n => n.name))})`;
  const message = `kube-proxy's configuration says ${next} and ${who}: their next restart flips them, and so would a rollback`;
  const fix = 'write the mode that serves into the configuration; nothing restarts by that';
  return [{ level: 'error', subject: 'configuration', message, fix }];
}

function inRun(nodes: readonly Labelled[], look: Look): { findings: Finding[]; summary: string } {
  const known = new Map(look.inventory.nodes.map(n => [n.name, n]));
  const findings = nodes.flatMap((node): Finding[] => {
    const subject = `node ${node.name}`;
    const expected = look.expectedModes.get(node.name) ?? (node.name === look.node?.name ? look.node.from : undefined);
    if (!node.there) return [{ level: 'warning', subject, message: 'is gone since the run began' }];
    if (expected === undefined) {
      if (node.label !== undefined)
        return [{ level: 'error', subject, message: `bears the label ${node.label} and is not in this run` }];
      return known.has(node.name)
        ? []
        : [
            {
              level: 'warning',
              subject,
              message: 'joined after the plan was made; the original DaemonSet serves it, and it is not in this run',
            },
          ];
    }
    if (node.label !== undefined) {
      if (node.label === expected) return [];
      return [{ level: 'error', subject, message: `bears the label ${node.label}, and must be in mode ${expected}` }];
    }
    // Without a label the original DaemonSet serves the node, in the mode it had when it bore none before.
    const facts = known.get(node.name);
    const original: Mode | 'none' | 'unknown' = facts && facts.label === undefined ? facts.mode : 'unknown';
    if (original === 'unknown' || original === expected) return [];
    return [
      {
        level: 'error',
        subject,
        message: `bears no label, so it is in mode ${original}, and must be in mode ${expected}`,
      },
    ];
  });
  return { findings, summary: `${count(nodes.length, 'node')} in the expected mode` };
}
