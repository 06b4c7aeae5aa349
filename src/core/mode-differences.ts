// What stops working on a node because the modes differ, and not because something broke.
// Source: kube-proxy 1.36 pkg/proxy/{iptables,ipvs,nftables}/proxier.go and cmd/kube-proxy/app/server_linux.go.
import type { Look, NodeInFlip } from './gate.ts';
import { nodeIn, readyOn, type ServiceFacts, serviceIn } from './inventory.ts';
import { knowsPods } from './known-pods.ts';
import type { Vantage } from './observation.ts';
import { boundTo, primaryAddress } from './primary-address.ts';
import { addressOfTarget, kindOfTarget, LOOPBACK, type ProbeKind, serviceOfTarget } from './probe-kind.ts';
import { textsOf } from './proxy-config.ts';

/** What of a look decides it. */
export type Wishes = Pick<Look, 'inventory' | 'playbook' | 'proxyConfig'>;

interface Change {
  readonly look: Wishes;
  readonly node: NodeInFlip;
  readonly vantage: Vantage;
  readonly kind: ProbeKind;
  readonly address: string;
  readonly service: ServiceFacts | undefined;
}

type Difference = (change: Change) => string | undefined;

const DIFFERENCES: readonly Difference[] = [
  ({ kind, address, node }) =>
    kind === 'node-port' && address === LOOPBACK && node.from === 'iptables'
      ? `only iptables answers NodePorts on ${LOOPBACK}`
      : undefined,
  ({ kind, address, node, look }) =>
    kind === 'node-port' &&
    node.to === 'nftables' &&
    !keepsNodePorts(look) &&
    ![address, undefined].includes(primaryOf(look, node, address))
      ? 'nftables answers NodePorts on the primary address of a node only, since nodePortAddresses is empty'
      : undefined,
  ({ kind, node, service }) =>
    isOutside(kind) && node.to === 'ipvs' && service?.externalTrafficPolicy === 'Local' && !isLocal(service, node)
      ? 'with externalTrafficPolicy: Local ipvs has no short way to the endpoints of other nodes'
      : undefined,
  ({ kind, address, node, service, look, vantage }) =>
    vantage === 'pod' &&
    node.from === 'ipvs' &&
    (kind === 'node-port' || isOutside(kind)) &&
    service?.externalTrafficPolicy === 'Local' &&
    !isLocal(service, node) &&
    !knowsPods(look.proxyConfig, address.includes(':') ? 'IPv6' : 'IPv4')
      ? `ipvs led pods to the endpoints of other nodes in spite of externalTrafficPolicy: Local; ${node.to} drops them, since kube-proxy has no clusterCIDR by which to know pods`
      : undefined,
  ({ kind, node, service }) =>
    isClusterIP(kind) && node.from === 'ipvs' && service?.internalTrafficPolicy === 'Local' && !isLocal(service, node)
      ? `ipvs ignored internalTrafficPolicy: Local, ${node.to} keeps to it and drops where no endpoint is local`
      : undefined,
  ({ kind, node, service, vantage }) =>
    kind === 'load-balancer' &&
    vantage === 'host' &&
    (node.from === 'ipvs' || node.to === 'ipvs') &&
    (service?.sourceRanges.length ?? 0) > 0
      ? 'ipvs applies source ranges to connections from the nodes themselves differently'
      : undefined,
];

/** Why a target that answered in the mode before need not answer in the mode now; undefined where it should. */
export function byDesign(look: Wishes, node: NodeInFlip, vantage: Vantage, id: string): string | undefined {
  const service = serviceIn(look.inventory, serviceOfTarget(id));
  const change = { look, node, vantage, kind: kindOfTarget(id), address: addressOfTarget(id), service };
  for (const difference of DIFFERENCES) {
    const reason = difference(change);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/**
 * Whether nobody promised an answer, in any mode: no endpoint that may be used, or a NodePort on another address of the node than
 * its primary ones.
 */
export function isUnserved(look: Wishes, node: NodeInFlip, id: string): boolean {
  const kind = kindOfTarget(id);
  const address = addressOfTarget(id);
  if (kind === 'node-port' && primaryOf(look, node, address) !== address) return true;
  if (kind === 'health-check' && setsNodePortAddresses(look)) return true;
  const service = serviceIn(look.inventory, serviceOfTarget(id));
  if (!service) return false;
  const none = Object.values(service.readyByNode).every(n => n === 0);
  const mayBeLocal = isClusterIP(kind) && service.internalTrafficPolicy === 'Local';
  return none || (mayBeLocal && !isLocal(service, node));
}

/** Whether it is closed while kube-proxy is replaced, in every mode, and was opened again. */
export function isReopened(id: string, { inARow }: { readonly inARow: number }): boolean {
  return kindOfTarget(id) === 'health-check' && inARow === 0;
}

/** Whether NodePorts answer on the addresses on which they answered, whatever the mode's default is. */
export function keepsNodePorts(look: Wishes): boolean {
  return look.playbook.options.nodePortAddresses === 'preserve' || setsNodePortAddresses(look);
}

function setsNodePortAddresses({ proxyConfig }: Wishes): boolean {
  return textsOf(proxyConfig?.nodePortAddresses).length > 0;
}

/** The node's primary address of the family of `address`. */
function primaryOf({ inventory, proxyConfig }: Wishes, { name }: NodeInFlip, address: string): string | undefined {
  const facts = nodeIn(inventory, name);
  return facts && primaryAddress(facts, address.includes(':'), boundTo(proxyConfig));
}

function isLocal(service: ServiceFacts, { name }: NodeInFlip): boolean {
  return readyOn(service, name) > 0;
}

function isClusterIP(kind: ProbeKind): boolean {
  return kind === 'cluster-ip-tcp' || kind === 'cluster-ip-udp';
}

function isOutside(kind: ProbeKind): boolean {
  return kind === 'load-balancer' || kind === 'external-ip';
}
