import type { KubeObject } from '../core/cluster.ts';
import { nodesInScope, START_SLACK } from '../core/evidence.ts';
import { defineGate, type Finding, type Look } from '../core/gate.ts';
import type { NodeFacts } from '../core/inventory.ts';
import { isReady } from '../core/node-object.ts';
import { count, few } from '../core/words.ts';

interface ProxyPodNow {
  readonly name: string;
  readonly running: boolean;
  readonly ready: boolean;
  readonly restarts: number;
  /** Unix seconds of the last time a container of it ended; undefined when none did. */
  readonly endedAt: number | undefined;
  /** Why a container waits: `CrashLoopBackOff`, `ImagePullBackOff`. */
  readonly waits: string | undefined;
}

interface NodeNow {
  readonly name: string;
  /** Undefined: the node is gone. */
  readonly ready: boolean | undefined;
  readonly pods: readonly ProxyPodNow[];
}

interface ContainerStatus {
  ready?: boolean;
  restartCount?: number;
  state?: { waiting?: { reason?: string } };
  lastState?: { terminated?: { finishedAt?: string } };
}

export const nodeHealth = defineGate({
  id: 'node-health',
  title: 'Nodes are Ready and their kube-proxy pods run',
  hint: "'kubectl describe node' and the log of the kube-proxy pod on it tell why",
  moments: ['preflight', 'before-node', 'after-node', 'after-batch', 'verify'],
  async observe(look): Promise<NodeNow[]> {
    if (look.moment === 'preflight') return fromInventory(nodesInScope(look));
    if (look.moment === 'verify')
      return fromInventory(look.inventory.nodes.filter(n => look.expectedModes.has(n.name)));
    if (!look.cluster) throw new Error('no cluster to ask');
    return look.node ? [await one(look, look.node.name)] : all(look);
  },
  judge(nodes, look) {
    const findings = nodes.flatMap(node => judgeNode(node, look));
    return { findings, summary: `${count(nodes.length, 'node')} and kube-proxy pods well` };
  },
});

function judgeNode(node: NodeNow, look: Look): Finding[] {
  const subject = `node ${node.name}`;
  // What was flipped and left since was well then.
  if (node.ready === undefined)
    return [{ level: look.moment === 'after-batch' ? 'warning' : 'error', subject, message: 'is gone' }];
  const findings: Finding[] = [];
  // At preflight a check of its own tells which nodes are not Ready.
  if (!node.ready && look.moment !== 'preflight') findings.push({ level: 'error', subject, message: 'is not Ready' });
  if (node.pods.length === 0)
    findings.push({ level: 'inconclusive', subject, message: 'no kube-proxy pod of it was found' });
  if (node.pods.length > 1 && look.moment !== 'preflight') {
    const message = `more than one kube-proxy of a DaemonSet is on it: ${few(node.pods.map(pod => pod.name))}`;
    findings.push({ level: 'error', subject, message });
  }
  const askedAt = look.node?.askedAt;
  for (const pod of node.pods) {
    const waits = pod.waits === undefined ? '' : `: ${pod.waits}`;
    if (!pod.running || !pod.ready)
      findings.push({ level: 'error', subject, message: `kube-proxy pod ${pod.name} is not ready${waits}` });
    else if (askedAt !== undefined && pod.endedAt !== undefined && pod.endedAt > askedAt - START_SLACK) {
      findings.push({
        level: 'error',
        subject,
        message: `kube-proxy pod ${pod.name} restarted since the flip (${count(pod.restarts, 'restart')})`,
      });
    }
  }
  return findings;
}

function fromInventory(nodes: readonly NodeFacts[]): NodeNow[] {
  return nodes.map(({ name, ready, proxyPod }) => {
    const pod = proxyPod && { name: proxyPod.name, running: true, ready: proxyPod.ready, restarts: proxyPod.restarts };
    return { name, ready, pods: pod ? [{ ...pod, endedAt: undefined, waits: undefined }] : [] };
  });
}

async function one(look: Look, name: string): Promise<NodeNow> {
  const pods: ProxyPodNow[] = [];
  const options = { namespace: namespaceOf(look), fieldSelector: `spec.nodeName=${name}` };
  for await (const pod of look.cluster?.list('Pod', options) ?? []) if (isProxy(pod, look)) pods.push(read(pod));
  return { name, ready: readiness(await look.cluster?.get({ kind: 'Node', name })), pods };
}

/** Every node that the run has flipped; the others are asked when their turn comes. Two lists are cheaper than two requests a node. */
async function all(look: Look): Promise<NodeNow[]> {
  const pods = new Map<string, ProxyPodNow[]>();
  for await (const pod of look.cluster?.list('Pod', { namespace: namespaceOf(look) }) ?? []) {
    const node = String(pod.spec?.nodeName ?? '');
    if (isProxy(pod, look)) pods.set(node, [...(pods.get(node) ?? []), read(pod)]);
  }
  const ready = new Map<string, boolean>();
  for await (const node of look.cluster?.list('Node') ?? []) ready.set(node.metadata.name, isReady(node));
  const flipped = [...look.expectedModes].flatMap(([name, mode]) => (mode === look.to ? [name] : []));
  return flipped.map(name => ({ name, ready: ready.get(name), pods: pods.get(name) ?? [] }));
}

function namespaceOf(look: Look): string {
  return look.inventory.proxy.daemonSet?.namespace ?? 'kube-system';
}

/** A pod of the original DaemonSet or of a mode's, not of one that is just going. */
function isProxy(pod: KubeObject, look: Look): boolean {
  const original = look.inventory.proxy.daemonSet?.name ?? 'kube-proxy';
  const owner = pod.metadata.ownerReferences?.find(o => o.kind === 'DaemonSet')?.name;
  const ours = owner === original || ['iptables', 'ipvs', 'nftables'].some(mode => owner === `${original}-${mode}`);
  return ours && pod.metadata.deletionTimestamp === undefined;
}

function readiness(node: KubeObject | undefined): boolean | undefined {
  return node && isReady(node);
}

function read(pod: KubeObject): ProxyPodNow {
  const statuses: ContainerStatus[] = pod.status?.containerStatuses ?? [];
  const ended = statuses.flatMap(s => s.lastState?.terminated?.finishedAt ?? []).map(t => Date.parse(t) / 1000);
  return {
    name: pod.metadata.name,
    running: pod.status?.phase === 'Running',
    ready: statuses.length > 0 && statuses.every(s => s.ready === true),
    restarts: statuses.reduce((sum, s) => sum + (s.restartCount ?? 0), 0),
    endedAt: ended.length > 0 ? Math.max(...ended) : undefined,
    waits: statuses.find(s => s.state?.waiting)?.state?.waiting?.reason,
  };
}
