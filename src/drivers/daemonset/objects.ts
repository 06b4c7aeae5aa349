// The objects of a run, as values: what is created beside kube-proxy's own, and what is changed in those.
import type { KubeObject } from '../../core/cluster.ts';
import type { Originals } from '../../core/driver.ts';
import type { Mode } from '../../core/mode.ts';
import { LABEL_MODE, LABEL_PART, LABEL_RUN, PARTS, SHADOW_NAME } from '../../core/names.ts';
import { WARM } from '../../core/proxy-address.ts';
import { hostPort } from '../../core/service-port.ts';
import { type ConfigEdit, editConfig } from '../config-text.ts';

const SHADOW_PATH = '/proxyctl/shadow';
const WARM_KEY = 'proxyctl-warm.conf';
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What cleanup at start-up would call, by the mode that starts: those of the modes that must stay. */
const IPTABLES_TOOLS = ['', '-save', '-restore'].flatMap(end => [`iptables${end}`, `ip6tables${end}`]);
export const SHADOWED: Record<Mode, readonly string[]> = {
  nftables: [...IPTABLES_TOOLS, 'ipset', 'modprobe'],
  iptables: ['nft'],
  ipvs: ['nft'],
};

export function modeDaemonSetName(originals: Originals, mode: Mode): string {
  return `${originals.daemonSet.metadata.name}-${mode}`;
}

export function warmPodName(node: string): string {
  return `proxyctl-warm-${node}`.slice(0, 253);
}

function labels(run: string, part: string): Record<string, string> {
  return { [LABEL_PART]: part, [LABEL_RUN]: run };
}

/** Scripts of an interpreter that does not exist: found on PATH, they fail to run, whatever the image looks like. */
export function shadowConfigMap(run: string, namespace: string): KubeObject {
  const tools = [...new Set(Object.values(SHADOWED).flat())];
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: SHADOW_NAME, namespace, labels: labels(run, PARTS.shadow) },
    immutable: true,
    data: Object.fromEntries(tools.map(tool => [tool, '#!/proxyctl/none\n'])),
  };
}

/** The configuration of one mode: the original's other keys, the mode's config, and the warm kube-proxy's on other ports. */
export function modeConfigMap(run: string, originals: Originals, mode: Mode, edits: readonly ConfigEdit[]): KubeObject {
  const original = originals.configMap;
  const config = editConfig(String(original.data[originals.configKey]), edits);
  const warm = editConfig(config, [
    { path: ['metricsBindAddress'], value: hostPort(WARM.metrics.address, WARM.metrics.port) },
    { path: ['healthzBindAddress'], value: hostPort(WARM.healthz.address, WARM.healthz.port) },
  ]);
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: `${original.metadata.name}-${mode}`,
      namespace: original.metadata.namespace ?? '',
      labels: labels(run, PARTS.proxy),
    },
    immutable: true,
    data: { ...original.data, [originals.configKey]: config, [WARM_KEY]: warm },
  };
}

export interface Template {
  metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> };
  spec: PodSpec;
}
export interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  volumes?: { name: string; configMap?: { name: string } }[];
  nodeSelector?: Record<string, string>;
  affinity?: { nodeAffinity?: { requiredDuringSchedulingIgnoredDuringExecution?: { nodeSelectorTerms: Term[] } } };
  [field: string]: unknown;
}
interface Container {
  name: string;
  image?: string;
  command?: string[];
  args?: string[];
  env?: { name: string; value?: string }[];
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
  [field: string]: unknown;
}
export interface Term {
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
  matchFields?: unknown[];
}

export function templateOf(daemonSet: KubeObject): Template {
  return structuredClone(daemonSet.spec.template);
}

/**
 * The template with the mode's ConfigMap in the place of the original one. The image is on the node, where it runs: a registry
 * that is away must not stand in the way, there or back.
 */
function ofMode(template: Template, originals: Originals, mode: Mode): Template {
  const { containers, initContainers = [] } = template.spec;
  for (const container of [...initContainers, ...containers]) container.imagePullPolicy = 'IfNotPresent';
  for (const volume of template.spec.volumes ?? []) {
    if (volume.configMap?.name === originals.configMap.metadata.name) {
      volume.configMap.name = `${originals.configMap.metadata.name}-${mode}`;
    }
  }
  return template;
}

export function proxyContainer(spec: PodSpec, originals: Originals): Container {
  const named = spec.containers.find(c =>
    [...(c.command ?? []), ...(c.args ?? [])].some(a => a.includes(originals.configPath)),
  );
  const container = named ?? spec.containers[0];
  if (!container) throw new Error('the DaemonSet has no container');
  return container;
}

/** The first folder of PATH holds what must not run. */
function withShadow(spec: PodSpec, container: Container, mode: Mode): void {
  const items = SHADOWED[mode].map(tool => ({ key: tool, path: tool, mode: 0o755 }));
  const volume = { name: SHADOW_NAME, configMap: { name: SHADOW_NAME, defaultMode: 0o755, items } };
  spec.volumes = [...(spec.volumes ?? []), volume];
  container.volumeMounts = [
    ...(container.volumeMounts ?? []),
    { name: SHADOW_NAME, mountPath: SHADOW_PATH, readOnly: true },
  ];
  const path = container.env?.find(e => e.name === 'PATH')?.value ?? DEFAULT_PATH;
  const others = (container.env ?? []).filter(e => e.name !== 'PATH');
  container.env = [...others, { name: 'PATH', value: `${SHADOW_PATH}:${path}` }];
}

/** The DaemonSet that serves nodes labelled with a mode. */
export function modeDaemonSet(run: string, originals: Originals, mode: Mode): KubeObject {
  const { metadata, spec } = originals.daemonSet;
  const template = ofMode(templateOf(originals.daemonSet), originals, mode);
  const name = modeDaemonSetName(originals, mode);
  const selector = { [LABEL_MODE]: mode };
  template.metadata = {
    ...template.metadata,
    labels: { ...template.metadata?.labels, ...selector, ...labels(run, PARTS.proxy) },
  };
  template.spec.nodeSelector = { ...template.spec.nodeSelector, [LABEL_MODE]: mode };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: {
      name,
      namespace: metadata.namespace ?? '',
      labels: { ...metadata.labels, ...labels(run, PARTS.proxy) },
    },
    spec: {
      selector: { matchLabels: selector },
      updateStrategy: { type: 'OnDelete' },
      ...(spec.minReadySeconds ? { minReadySeconds: spec.minReadySeconds } : {}),
      template,
    },
  };
}

/** The warm kube-proxy of a node: the cluster's own image and account, the target's config, its cleanup disarmed. */
export function warmPod(run: string, originals: Originals, node: string, mode: Mode): KubeObject {
  const template = ofMode(templateOf(originals.daemonSet), originals, mode);
  const container = proxyContainer(template.spec, originals);
  const folder = originals.configPath.slice(0, originals.configPath.lastIndexOf('/'));
  const swap = (text: string) => text.replace(originals.configPath, `${folder}/${WARM_KEY}`);
  if (container.command) container.command = container.command.map(swap);
  if (container.args) container.args = container.args.map(swap);
  // Probes and ports of the original point at the main kube-proxy.
  for (const field of ['livenessProbe', 'readinessProbe', 'startupProbe', 'ports']) delete container[field];
  withShadow(template.spec, container, mode);
  delete template.spec.affinity;
  // On the host network each port is the node's: kubelet takes no second pod that names the ports of a sidecar.
  const initContainers = template.spec.initContainers?.filter(({ restartPolicy }) => restartPolicy !== 'Always');
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: warmPodName(node),
      namespace: originals.daemonSet.metadata.namespace ?? '',
      labels: labels(run, PARTS.warm),
      ...(template.metadata?.annotations ? { annotations: template.metadata.annotations } : {}),
    },
    spec: {
      ...template.spec,
      ...(initContainers ? { initContainers } : {}),
      containers: [container],
      nodeName: node,
      nodeSelector: {},
      restartPolicy: 'Always',
    },
  };
}
