// The pods that proxyctl puts on a node to look and to sweep, as values.
import type { KubeObject } from '../core/cluster.ts';
import type { Mode } from '../core/mode.ts';
import { LABEL_PART, LABEL_RUN, NAMESPACE, NODE_ACCOUNT, PARTS } from '../core/names.ts';
import type { Vantage } from '../core/observation.ts';
import type { OwnService } from '../core/probe-service.ts';
import { addressesText, type ProxyAddresses, WARM } from '../core/proxy-address.ts';
import { pullPolicy } from '../core/watcher-image.ts';

export const TARGETS_MAP = 'proxyctl-targets';
const TARGETS_FOLDER = '/etc/proxyctl';

export interface PodOptions {
  run: string;
  image: string;
  node: string;
  /** Keys of addresses and ports to which the host watcher tells the ways. */
  trace?: readonly string[];
  /** Where the node's own kube-proxy answers. */
  main: ProxyAddresses;
}

/** Sidecars of meshes answer for every Service themselves, rules or none. */
const NO_MESH = {
  labels: { 'sidecar.istio.io/inject': 'false' },
  annotations: { 'linkerd.io/inject': 'disabled' },
};
const NOBODY = 65_534;
/** Nobody may be left to remove a pod; then it ends by itself. Longer than any flip with its soak. */
const LONGEST_SECONDS = 86_400;
/** No limit of processor time: a throttled watcher would see failures that are its own. Large rule sets take memory to parse. */
const RESOURCES = { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '1Gi' } };

/** What a watcher is told besides: the node's addresses, and the probe Service that leads to the pod watcher. */
export interface WatcherOptions extends PodOptions {
  addresses?: readonly string[];
  own?: OwnService;
}

export function watcherPod(options: WatcherOptions, vantage: Vantage): KubeObject {
  const args = ['watch', '--node', options.node, '--vantage', vantage, '--targets', `${TARGETS_FOLDER}/targets.json`];
  args.push('--main', addressesText(options.main), '--warm', addressesText(WARM));
  if (options.addresses && options.addresses.length > 0) args.push('--addresses', options.addresses.join(','));
  if (options.own) args.push('--own', `${options.own.name}=${options.own.address}`);
  if (options.trace && options.trace.length > 0) args.push('--trace', options.trace.join(','));
  const part = vantage === 'host' ? PARTS.watcherHost : PARTS.watcherPod;
  const pod = basePod(options, `watch-${vantage}-${options.node}`, part, args);
  const container = pod.spec.containers[0];
  container.volumeMounts = [{ name: 'targets', mountPath: TARGETS_FOLDER, readOnly: true }];
  pod.spec.volumes = [{ name: 'targets', configMap: { name: TARGETS_MAP } }];
  if (vantage === 'host') onHost(pod);
  // For its resolv.conf, which names the cluster's domain; nothing is looked up by it.
  pod.spec.dnsPolicy = vantage === 'host' ? 'ClusterFirstWithHostNet' : 'ClusterFirst';
  return pod;
}

export function sweeperPod(
  options: PodOptions & {
    left: Mode;
    now: Mode;
    drain: number;
    wait: number;
    exclude: string[];
    serving: 'main' | 'warm';
  },
): KubeObject {
  const args = [
    'sweep',
    '--left',
    options.left,
    '--now',
    options.now,
    '--drain',
    String(options.drain),
    '--wait',
    String(options.wait),
  ];
  if (options.serving === 'main') args.push('--serving', addressesText(options.main));
  else args.push('--serving', addressesText(WARM), '--gone', addressesText(options.main));
  if (options.exclude.length > 0) args.push('--exclude-cidrs', options.exclude.join(','));
  const pod = basePod(options, `sweep-${options.left}-${options.node}`, PARTS.sweeper, args);
  onHost(pod);
  // iptables takes this lock against kube-proxy's own writes.
  pod.spec.containers[0].volumeMounts = [{ name: 'xtables-lock', mountPath: '/run/xtables.lock' }];
  pod.spec.volumes = [{ name: 'xtables-lock', hostPath: { path: '/run/xtables.lock', type: 'FileOrCreate' } }];
  return pod;
}

/**
 * Host network, and root with two capabilities: reading a rule set takes NET_ADMIN as writing it does, and iptables-legacy opens
 * a raw socket for either. Capabilities are root's alone: Kubernetes gives another user none.
 */
function onHost(pod: KubeObject): void {
  pod.spec.hostNetwork = true;
  const { securityContext } = pod.spec.containers[0];
  Object.assign(securityContext, { runAsUser: 0, runAsGroup: 0, runAsNonRoot: false });
  securityContext.capabilities.add = ['NET_ADMIN', 'NET_RAW'];
}

function basePod(options: PodOptions, name: string, part: string, args: string[]): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: name.slice(0, 253),
      namespace: NAMESPACE,
      labels: { ...NO_MESH.labels, [LABEL_PART]: part, [LABEL_RUN]: options.run },
      annotations: NO_MESH.annotations,
    },
    spec: {
      nodeName: options.node,
      serviceAccountName: NODE_ACCOUNT,
      automountServiceAccountToken: false,
      securityContext: { seccompProfile: { type: 'RuntimeDefault' } },
      restartPolicy: 'Never',
      activeDeadlineSeconds: LONGEST_SECONDS,
      terminationGracePeriodSeconds: 1,
      tolerations: [{ operator: 'Exists' }],
      // Found by address, never by name: cluster DNS may be what breaks.
      dnsPolicy: 'Default',
      enableServiceLinks: false,
      containers: [
        {
          name: 'proxyctl',
          image: options.image,
          imagePullPolicy: pullPolicy(options.image),
          args,
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            runAsNonRoot: true,
            runAsUser: NOBODY,
            runAsGroup: NOBODY,
            capabilities: { drop: ['ALL'] },
          },
          resources: RESOURCES,
        },
      ],
    },
  };
}
