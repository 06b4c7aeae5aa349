// The one list of what proxyctl asks of the API. The roles of `proxyctl rbac` and the gate `permissions` are made of it, and a
// test holds it against the requests of whole runs: a request without a rule fails there, and so does a rule without a request.
import type { Access } from './cluster.ts';
import type { ProxyFacts } from './inventory.ts';
import { MODES } from './mode.ts';
import { LEASE, NAMESPACE, NODE_ACCOUNT, SHADOW_NAME } from './names.ts';

/**
 * What rights are for: `inventory` also makes plans, `verify` is for all that looks from nodes (`trace`, `status --look`), `migrate`
 * for everything else.
 */
export const PURPOSES = ['inventory', 'preflight', 'status', 'verify', 'migrate'] as const;
export type Purpose = (typeof PURPOSES)[number];

/** Verbs on one resource: in one namespace or everywhere, on the objects named or on all. */
export interface Rule {
  /** API group, `''` for core. */
  readonly group: string;
  /** Resource with subresource: `pods`, `pods/log`. */
  readonly resource: string;
  readonly verbs: readonly Access['verb'][];
  readonly namespace?: string;
  /** `create` and `list` cannot be held to names. */
  readonly names?: readonly string[];
}

/** kube-proxy's own objects. */
export interface ProxyPlace {
  readonly namespace: string;
  readonly daemonSet: string;
  readonly configMap: string;
}

/** As kubeadm has them. */
export const KUBEADM: ProxyPlace = { namespace: 'kube-system', daemonSet: 'kube-proxy', configMap: 'kube-proxy' };

/** Where an inventory found them. */
export function placeOf({ daemonSet, configMap }: ProxyFacts): ProxyPlace {
  return {
    namespace: daemonSet?.namespace ?? KUBEADM.namespace,
    daemonSet: daemonSet?.name ?? KUBEADM.daemonSet,
    configMap: configMap?.name ?? KUBEADM.configMap,
  };
}

const core = (resource: string, ...verbs: Access['verb'][]) => ({ group: '', resource, verbs });
const apps = (resource: string, ...verbs: Access['verb'][]) => ({ group: 'apps', resource, verbs });

function inventory({ namespace, configMap }: ProxyPlace): Rule[] {
  return [
    // Which cluster this is.
    { ...core('namespaces', 'get'), names: ['kube-system'] },
    core('namespaces', 'list'),
    core('nodes', 'list'),
    core('pods', 'list'),
    core('services', 'list'),
    { group: 'discovery.k8s.io', resource: 'endpointslices', verbs: ['list'] },
    { ...apps('daemonsets', 'list'), namespace },
    { ...core('configmaps', 'get'), namespace, names: [configMap, 'cilium-config'] },
    { ...core('pods/log', 'get'), namespace },
  ];
}

const OWN = { namespace: NAMESPACE };
const OWN_NAMESPACE: Rule = { ...core('namespaces', 'get'), names: [NAMESPACE] };

const STANDING_RUN: readonly Rule[] = [
  OWN_NAMESPACE,
  { ...core('configmaps', 'list'), ...OWN },
  { group: 'coordination.k8s.io', resource: 'leases', verbs: ['get'], ...OWN, names: [LEASE] },
];

function status(place: ProxyPlace): Rule[] {
  return [...STANDING_RUN, { ...core('configmaps', 'get'), namespace: place.namespace, names: ownConfigMaps(place) }];
}

/** What a run puts beside kube-proxy's own. */
function ownConfigMaps({ configMap }: ProxyPlace): string[] {
  return [...MODES.map(mode => `${configMap}-${mode}`), SHADOW_NAME];
}

function migration(place: ProxyPlace): Rule[] {
  const { namespace, daemonSet, configMap } = place;
  const daemonSets = MODES.map(mode => `${daemonSet}-${mode}`);
  return [
    core('nodes', 'get', 'patch'),
    // Rollouts that a node waits for.
    apps('deployments', 'list'),
    apps('statefulsets', 'list'),
    apps('daemonsets', 'list'),
    { ...core('pods', 'get', 'create', 'patch', 'delete'), namespace },
    { ...core('configmaps', 'list', 'create'), namespace },
    { ...core('configmaps', 'patch'), namespace, names: [configMap] },
    { ...core('configmaps', 'delete'), namespace, names: ownConfigMaps(place) },
    { ...apps('daemonsets', 'create'), namespace },
    { ...apps('daemonsets', 'get', 'patch'), namespace, names: [daemonSet] },
    { ...apps('daemonsets', 'get', 'delete'), namespace, names: daemonSets },
    { ...apps('controllerrevisions', 'get', 'list', 'delete'), namespace },
  ];
}

/** Watchers on nodes, and what they are compared with; nobody else has them meanwhile. */
const LOOKING: readonly Rule[] = [
  core('services', 'watch'),
  { group: 'discovery.k8s.io', resource: 'endpointslices', verbs: ['watch'] },
  { ...core('serviceaccounts', 'get'), ...OWN, names: [NODE_ACCOUNT] },
  { ...core('pods', 'get', 'create', 'delete'), ...OWN },
  { ...core('pods/log', 'get'), ...OWN },
  { ...core('configmaps', 'get', 'create', 'patch', 'delete'), ...OWN },
  { ...core('services', 'create', 'delete'), ...OWN },
  { group: 'discovery.k8s.io', resource: 'endpointslices', verbs: ['create', 'delete'], ...OWN },
  { group: 'coordination.k8s.io', resource: 'leases', verbs: ['create'], ...OWN },
  { group: 'coordination.k8s.io', resource: 'leases', verbs: ['patch', 'delete'], ...OWN, names: [LEASE] },
];

/** All that a purpose takes, where the namespace `proxyctl` is there already, as `proxyctl rbac` gives it. */
export function rulesFor(purpose: Purpose, place: ProxyPlace = KUBEADM): Rule[] {
  const reading = inventory(place);
  switch (purpose) {
    case 'inventory':
      return reading;
    case 'preflight':
      return [...reading, OWN_NAMESPACE];
    case 'status':
      return [...reading, ...status(place)];
    case 'verify':
      return withoutCovered([...reading, ...status(place), ...LOOKING]);
    case 'migrate':
      return withoutCovered([...reading, ...status(place), ...migration(place), ...LOOKING]);
  }
}

/** Without what another of the rules gives everywhere. */
function withoutCovered(rules: readonly Rule[]): Rule[] {
  const everywhere = rules.filter(rule => rule.namespace === undefined && rule.names === undefined);
  return rules.flatMap(rule => {
    if (everywhere.includes(rule)) return [rule];
    const { group, resource } = rule;
    const wider = everywhere.filter(other => other.group === group && other.resource === resource);
    const verbs = rule.verbs.filter(verb => !wider.some(other => other.verbs.includes(verb)));
    return verbs.length > 0 ? [{ ...rule, verbs }] : [];
  });
}

/** What it takes besides to make that namespace, and to remove it in the end. */
export const MAKING_NAMESPACE: readonly Rule[] = [
  core('namespaces', 'create'),
  { ...core('namespaces', 'patch', 'delete'), names: [NAMESPACE] },
  { ...core('serviceaccounts', 'create'), ...OWN },
];

/** The rules as single questions. */
export function questions(rules: readonly Rule[]): Access[] {
  return rules.flatMap(({ verbs, names, ...where }) =>
    verbs.flatMap(verb => (names === undefined ? [{ ...where, verb }] : names.map(name => ({ ...where, verb, name })))),
  );
}
