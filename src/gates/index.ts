import { type Finding, type Gate, type Judgement, type Look, verdictOf } from '../core/gate.ts';
import { apiServerAddress } from './api-server-address.ts';
import { churn } from './churn.ts';
import { configOptions } from './config-options.ts';
import { conntrack } from './conntrack.ts';
import { convergence } from './convergence.ts';
import { driver } from './driver.ts';
import { effectiveMode } from './effective-mode.ts';
import { externalIPs } from './external-ips.ts';
import { externalTrafficPolicy } from './external-traffic-policy.ts';
import { followsChanges } from './follows-changes.ts';
import { hook } from './hook.ts';
import { internalTrafficPolicy } from './internal-traffic-policy.ts';
import { kernelRules } from './kernel-rules.ts';
import { kernelVersion } from './kernel-version.ts';
import { kubernetesVersion } from './kubernetes-version.ts';
import { loadBalancerHealth } from './load-balancer-health.ts';
import { mixedMode } from './mixed-mode.ts';
import { nodeExporter } from './node-exporter.ts';
import { nodeHealth } from './node-health.ts';
import { nodeOs } from './node-os.ts';
import { nodePortAddresses } from './node-port-addresses.ts';
import { nodePortLocalhost } from './node-port-localhost.ts';
import { nodesReady } from './nodes-ready.ts';
import { ownership } from './ownership.ts';
import { permissions } from './permissions.ts';
import { podSlots } from './pod-slots.ts';
import { prometheus } from './prometheus.ts';
import { proxyAddress } from './proxy-address.ts';
import { readyEndpoints } from './ready-endpoints.ts';
import { residue } from './residue.ts';
import { serviceProbes } from './service-probes.ts';
import { sessionAffinity } from './session-affinity.ts';
import { sourceRanges } from './source-ranges.ts';
import { virtualServers } from './virtual-servers.ts';
import { wayBack } from './way-back.ts';
import { workloads } from './workloads.ts';

/** Every gate, in the order in which reports name them. */
export const GATES: readonly Gate[] = [
  driver,
  ownership,
  permissions,
  kubernetesVersion,
  kernelVersion,
  nodeOs,
  nodesReady,
  podSlots,
  nodeHealth,
  mixedMode,
  wayBack,
  apiServerAddress,
  proxyAddress,
  configOptions,
  nodePortAddresses,
  nodePortLocalhost,
  internalTrafficPolicy,
  externalTrafficPolicy,
  sessionAffinity,
  sourceRanges,
  externalIPs,
  loadBalancerHealth,
  churn,
  effectiveMode,
  convergence,
  kernelRules,
  serviceProbes,
  conntrack,
  virtualServers,
  residue,
  readyEndpoints,
  workloads,
  followsChanges,
  prometheus,
  nodeExporter,
  hook,
];

/** What the gates of the look's moment say, in their order. Never rejects: a gate that cannot look is inconclusive. */
export function runGates(gates: readonly Gate[], look: Look): Promise<Judgement[]> {
  return Promise.all(gates.filter(gate => gate.moments.includes(look.moment)).map(gate => gate.look(look)));
}

/** Judgements with the errors of accepted gates as warnings, which say so. What could not be seen cannot be accepted. */
export function acceptFindings(judgements: readonly Judgement[], accept: readonly string[]): Judgement[] {
  return judgements.map(judgement => {
    if (!accept.includes(judgement.gate)) return judgement;
    const findings = judgement.findings.map(
      (f): Finding => (f.level === 'error' ? { ...f, level: 'warning', message: `${f.message} (accepted)` } : f),
    );
    return { ...judgement, findings, verdict: verdictOf(findings) };
  });
}
