import { boundTo } from './primary-address.ts';
import { type KubeProxyConfiguration, sectionOf, textsOf } from './proxy-config.ts';

/** What of a KubeProxyConfiguration decides which rules stand on a node, and how soon. */
export interface RuleOptions {
  /** Ranges, or `primary`; empty for the mode's default. */
  readonly nodePortAddresses: readonly string[];
  /** The one address that kube-proxy is bound to, which it takes for the node's own; empty where it is bound to all. */
  readonly bound: string;
  /** Virtual servers in these ranges are not kube-proxy's business. */
  readonly excludeCIDRs: readonly string[];
  /** Feature gate AllowServiceExternalIPs. */
  readonly externalIPs: boolean;
  /** Feature gates that it names. */
  readonly featureGates: Readonly<Record<string, boolean>>;
  /** The longest `minSyncPeriod` of any mode: changes may wait so long for their sync. */
  readonly minSyncSeconds: number;
}

/** Of a configuration as parsed YAML; what is missing or odd is as kube-proxy's defaults. */
export function ruleOptions(config: KubeProxyConfiguration): RuleOptions {
  const periods = ['iptables', 'ipvs', 'nftables'].map(mode => seconds(sectionOf(config, mode).minSyncPeriod));
  const gates = Object.entries(sectionOf(config, 'featureGates'));
  const featureGates = Object.fromEntries(
    gates.filter((gate): gate is [string, boolean] => typeof gate[1] === 'boolean'),
  );
  return {
    nodePortAddresses: textsOf(config.nodePortAddresses),
    bound: boundTo(config),
    excludeCIDRs: textsOf(sectionOf(config, 'ipvs').excludeCIDRs),
    externalIPs: featureGates.AllowServiceExternalIPs !== false,
    featureGates,
    minSyncSeconds: Math.max(1, ...periods),
  };
}

/** A Go duration such as `1m30s` or `500ms`; 0 for what is none. */
function seconds(value: unknown): number {
  const units: Record<string, number> = { h: 3600, m: 60, s: 1, ms: 0.001, us: 1e-6, ns: 1e-9 };
  const parts = [...String(value ?? '').matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|us|ns)/g)];
  return parts.reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (units[unit] ?? 0), 0);
}
