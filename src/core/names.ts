// Names that proxyctl gives to things in a cluster. They are an interface: other versions and other machines read them.

/** Our own namespace: watchers, sweepers, the Lease, the records of runs. */
export const NAMESPACE = 'proxyctl';
/** On nodes: the mode whose DaemonSet serves it, or `none` between two. The truth about a node in a run. */
export const LABEL_MODE = 'proxyctl.dev/mode';
/** On everything we create: what part it plays. */
export const LABEL_PART = 'proxyctl.dev/part';
/** On everything we create or change: the run. */
export const LABEL_RUN = 'proxyctl.dev/run';
/** On nodes and other objects that a run changes: `run/epoch` of the last writer; tested in every write. */
export const ANNOTATION_EPOCH = 'proxyctl.dev/epoch';
/** On nodes: where the node stands in the run, as JSON (`NodeState`). */
export const ANNOTATION_STATE = 'proxyctl.dev/state';
/** On the Lease of a run: what operators want of it, as JSON (`Control`), and what its runner does (`Doing`). */
export const ANNOTATION_CONTROL = 'proxyctl.dev/control';
export const ANNOTATION_DOING = 'proxyctl.dev/doing';
/** On kube-system of an embedded cluster: whatever it says is simulated. */
export const LABEL_SIMULATED = 'proxyctl.dev/simulated';

export const PARTS = {
  /** Our own namespace, where we made it: it goes in the end. One without the label was given to us, and stays. */
  namespace: 'namespace',
  proxy: 'proxy',
  warm: 'warm',
  shadow: 'shadow',
  watcherHost: 'watcher-host',
  watcherPod: 'watcher-pod',
  /** A watcher that looks once, for whoever asks how the nodes stand. */
  look: 'look',
  sweeper: 'sweeper',
  targets: 'targets',
  probe: 'probe',
  record: 'record',
} as const;

/** Ports of the warm kube-proxy, beside the main one's. */
export const WARM_PORTS = { metrics: 10349, healthz: 10356 } as const;
/** kube-proxy's own defaults. */
export const MAIN_PORTS = { metrics: 10249, healthz: 10256 } as const;

export const LEASE = 'proxyctl';
/** ConfigMap beside kube-proxy's, with what the warm kube-proxy must not find. */
export const SHADOW_NAME = 'proxyctl-shadow';
/** Account of the pods that we put on nodes; it has no rights, and its token is mounted nowhere. */
export const NODE_ACCOUNT = 'proxyctl-node';
