// How a cluster runs kube-proxy, and so whether the driver `daemonset` fits. Pure: it reads the inventory's evidence.
import type { Inventory } from './inventory.ts';
import type { Mode } from './mode.ts';

export type Platform =
  | { readonly fits: true; readonly id: 'daemonset' }
  /** `id` names the platform; `reason` is one sentence with the platform's own command. */
  | { readonly fits: false; readonly id: string; readonly reason: string };

/**
 * A platform that must be refused: how it shows, and what its own way is. A command with quotes in it ends the sentence, without
 * quotes around it, so that it can be copied.
 */
interface Refusal {
  readonly id: string;
  matches(seen: Evidence): boolean;
  reason(mode: Mode): string;
}

/** The parts of an inventory by which platforms are told apart. */
interface Evidence {
  /** Versions of server and kubelets, which bear the distribution's suffix. */
  readonly versions: string;
  readonly osImages: string;
  readonly owners: string;
  readonly others: string;
  readonly inventory: Inventory;
}

/** The first that matches counts, so what is particular stands before what is general. */
const REFUSALS: readonly Refusal[] = [
  {
    id: 'windows',
    matches: ({ inventory }) => inventory.nodes.length > 0 && inventory.nodes.every(n => n.os === 'windows'),
    reason: () =>
      'all nodes run Windows, where kube-proxy has only the mode kernelspace and there is nothing to change.',
  },
  {
    id: 'cilium',
    matches: ({ others }) => /cilium/i.test(others),
    reason: () =>
      "Cilium serves the Services itself (kube-proxy replacement), so kube-proxy's mode changes nothing; see 'cilium config view' for kube-proxy-replacement.",
  },
  {
    id: 'gke',
    matches: ({ versions }) => /-gke\.\d/.test(versions),
    reason: () =>
      "GKE runs kube-proxy as static pods and offers no other mode; only a new cluster with 'gcloud container clusters create --enable-dataplane-v2' has another data plane.",
  },
  {
    id: 'rke2',
    matches: ({ versions }) => /\+rke2/.test(versions),
    reason: mode =>
      `RKE2 rewrites kube-proxy's static pod at each start of its agent: set 'kube-proxy-arg: [proxy-mode=${mode}]' in /etc/rancher/rke2/config.yaml and run 'systemctl restart rke2-agent' (rke2-server on servers), node by node.`,
  },
  {
    id: 'k3s',
    matches: ({ versions }) => /\+k3s/.test(versions),
    reason: mode =>
      `k3s runs kube-proxy inside its own process: set 'kube-proxy-arg: [proxy-mode=${mode}]' in /etc/rancher/k3s/config.yaml and run 'systemctl restart k3s-agent' (k3s on servers), node by node.`,
  },
  {
    id: 'k0s',
    matches: ({ versions }) => /\+k0s/.test(versions),
    reason: mode =>
      `the k0s controller puts kube-proxy's objects back: set spec.network.kubeProxy.mode to ${mode} in the ClusterConfig ('kubectl -n kube-system edit clusterconfig k0s', or /etc/k0s/k0s.yaml and 'systemctl restart k0scontroller').`,
  },
  {
    id: 'eks-addon',
    // The label of the component is on self-managed ones too; only the add-on is written by the field manager.
    matches: ({ owners }) => /\bmanager:? eks\b/i.test(owners),
    reason: mode =>
      `EKS manages kube-proxy as an add-on and overwrites changes; this changes all nodes at once: aws eks update-addon --cluster-name <name> --addon-name kube-proxy --configuration-values '{"mode":"${mode}"}' --resolve-conflicts OVERWRITE`,
  },
  {
    id: 'aks',
    matches: ({ inventory, owners }) => /\.azmk8s\.io/.test(inventory.cluster.server) || /azure\.com/i.test(owners),
    reason: mode =>
      `AKS manages kube-proxy: 'az aks update --resource-group <group> --name <name> --kube-proxy-config file.json' with {"enabled":true,"mode":"${mode.toUpperCase()}"} (extension aks-preview) changes all nodes at once.`,
  },
  {
    id: 'talos',
    matches: ({ inventory, osImages }) =>
      /\btalos\b/i.test(osImages) || /^kube-proxy-config-/.test(inventory.proxy.configMap?.name ?? ''),
    reason: mode =>
      `Talos renders kube-proxy from the machine configuration; on the control plane, with 'talosctl upgrade-k8s' after it: talosctl patch machineconfig --patch '{"cluster":{"proxy":{"mode":"${mode}"}}}'`,
  },
  {
    id: 'openshift',
    matches: ({ inventory, osImages }) =>
      /Red Hat Enterprise Linux CoreOS|\bRHCOS\b/.test(osImages) ||
      inventory.namespaces.includes('openshift-network-operator'),
    reason: mode =>
      `OpenShift's network operator owns kube-proxy, and with OVN-Kubernetes there is none; this changes all nodes at once: oc patch network.operator.openshift.io cluster --type merge -p '{"spec":{"kubeProxyConfig":{"proxyArguments":{"proxy-mode":["${mode}"]}}}}'`,
  },
  {
    id: 'gardener',
    matches: ({ owners }) => /gardener/i.test(owners),
    reason: mode =>
      `Gardener puts kube-proxy's objects back: set spec.kubernetes.kubeProxy.mode to ${mode} in the Shoot ('kubectl --namespace garden-<project> edit shoot <name>').`,
  },
  {
    id: 'kubermatic',
    matches: ({ owners }) => /kubermatic/i.test(owners),
    reason: () =>
      "Kubermatic renders kube-proxy and does not let clusterNetwork.proxyMode change in a cluster ('kubectl get cluster <id>' shows it).",
  },
  {
    id: 'static-pods',
    matches: ({ inventory, others }) => !inventory.proxy.daemonSet && /static pod/i.test(others),
    reason: mode =>
      `kube-proxy runs as static pods that the node's own agent writes; with kops set spec.kubeProxy.proxyMode to ${mode} ('kops edit cluster'), then 'kops update cluster --yes' and 'kops rolling-update cluster --yes'.`,
  },
  {
    id: 'embedded',
    matches: ({ inventory }) => !inventory.proxy.daemonSet && inventory.nodes.every(n => !n.proxyPod),
    reason: mode =>
      `no kube-proxy DaemonSet and no kube-proxy pod was found, so nothing in the cluster can be changed for one node; MicroK8s: set --proxy-mode=${mode} in /var/snap/microk8s/current/args/kube-proxy and run 'snap restart microk8s.daemon-kubelite', node by node.`,
  },
  {
    id: 'unknown',
    matches: ({ inventory }) => !inventory.proxy.daemonSet,
    reason: () =>
      "the kube-proxy pods do not belong to a DaemonSet, so there is nothing to copy; 'kubectl get pods -A -l k8s-app=kube-proxy -o yaml' tells who made them.",
  },
  {
    id: 'flags',
    matches: ({ inventory }) => !inventory.proxy.configMap || inventory.proxy.daemonSet?.configPath === undefined,
    reason: () =>
      "kube-proxy is configured by flags and not by a ConfigMap given with --config; 'kube-proxy --write-config-to' writes the file to put there.",
  },
];

/**
 * Whether nodes can be flipped one by one here, and if not, why, with the platform's own command. `to` fills in the mode in
 * that command.
 */
export function detectPlatform(inventory: Inventory, to: Mode): Platform {
  const seen: Evidence = {
    versions: [inventory.cluster.kubernetes, ...inventory.nodes.map(n => n.kubelet)].join('\n'),
    osImages: inventory.nodes.map(n => n.osImage).join('\n'),
    owners: inventory.proxy.owners.join('\n'),
    others: inventory.proxy.others.join('\n'),
    inventory,
  };
  const refusal = REFUSALS.find(r => r.matches(seen));
  if (!refusal) return { fits: true, id: 'daemonset' };
  return { fits: false, id: refusal.id, reason: refusal.reason(to) };
}
