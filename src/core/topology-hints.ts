// Which hints of EndpointSlices a kube-proxy heeds, by its version and feature gates: pkg/proxy/topology.go,
// pkg/features/kube_features.go of Kubernetes 1.29 to 1.36.
import { atLeast } from './mode.ts';

/** How endpoints are chosen by hints. */
export interface HintUse {
  /** Those for nodes. */
  readonly nodes: boolean;
  /** Those for zones: of every Service, of those whose annotation asks for it, or of none. */
  readonly zones: 'all' | 'annotated' | 'none';
}

/** `version` of kube-proxy, as 1.36 where nobody knows it; `gates` are those that its configuration names. */
export function hintUse(version: readonly number[] = [1, 36], gates: Readonly<Record<string, boolean>> = {}): HintUse {
  /** A gate from its first version on, on by default since another, fixed since a third. */
  const isOn = (gate: string, first: number, on: number, fixed: number) =>
    atLeast(version, [1, fixed]) || (atLeast(version, [1, first]) && (gates[gate] ?? atLeast(version, [1, on])));
  const nodes = isOn('PreferSameTrafficDistribution', 33, 34, 35);
  if (!isOn('TopologyAwareHints', 21, 24, 33)) return { nodes, zones: 'none' };
  return { nodes, zones: isOn('ServiceTrafficDistribution', 30, 31, 33) ? 'all' : 'annotated' };
}

/** Whether a Service's annotation asks for hints, as kube-proxy before 1.31 wants it. */
export function asksForHints(annotations: Readonly<Record<string, string>> = {}): boolean {
  const mode =
    annotations['service.kubernetes.io/topology-aware-hints'] ??
    annotations['service.kubernetes.io/topology-mode'] ??
    '';
  return !['', 'disabled', 'Disabled'].includes(mode);
}
