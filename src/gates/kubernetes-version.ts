import { isRetired } from '../core/configured-mode.ts';
import { nodesInScope } from '../core/evidence.ts';
import { defineGate, type Finding, type Look } from '../core/gate.ts';
import { imageVersion } from '../core/image-version.ts';
import { atLeast, MODE_NEEDS, majorMinor } from '../core/mode.ts';

/** Kubernetes 1.35 warns when kube-proxy starts in mode ipvs: KEP-5495. */
const IPVS_DEPRECATED = [1, 35] as const;
/** kube-proxy may be so many minors older or newer than the kubelet beside it. */
const KUBELET_SKEW = 3;

export const kubernetesVersion = defineGate({
  id: 'kubernetes-version',
  title: 'Kubernetes and the kube-proxy image support the mode',
  hint: 'update Kubernetes first; do not change version and mode in one go',
  moments: ['preflight'],
  observe(look) {
    const { cluster, proxy } = look.inventory;
    const pods = nodesInScope(look).flatMap(n =>
      n.proxyPod ? [{ subject: `node ${n.name}`, image: n.proxyPod.image, kubelet: n.kubelet }] : [],
    );
    return { server: cluster.kubernetes, image: proxy.daemonSet?.image, pods };
  },
  judge({ server, image, pods }, look) {
    const api = majorMinor(server);
    const findings: Finding[] = api
      ? ofMode(api, look, 'cluster', 'Kubernetes')
      : [{ level: 'inconclusive', subject: 'cluster', message: `version '${server}' could not be read` }];
    if (image !== undefined) findings.push(...ofImage(image, api, look));
    for (const pod of pods) {
      const version = imageVersion(pod.image);
      // The DaemonSet's image was judged above; here only what differs from it.
      if (pod.image !== image)
        findings.push(...ofImage(pod.image, api, look).map(f => ({ ...f, subject: pod.subject })));
      const kubelet = majorMinor(pod.kubelet);
      if (version && kubelet && Math.abs(version[1] - kubelet[1]) > KUBELET_SKEW) {
        const message = `kube-proxy ${version.join('.')} and kubelet ${kubelet.join('.')} are more than ${KUBELET_SKEW} minor versions apart`;
        findings.push({ level: 'warning', subject: pod.subject, message });
      }
    }
    return { findings, summary: `Kubernetes ${server}, ${image ?? 'no kube-proxy image'}` };
  },
});

function ofMode(
  version: readonly [number, number],
  { to: mode, proxyConfig }: Look,
  subject: string,
  what: string,
): Finding[] {
  const needs = MODE_NEEDS[mode];
  const text = `${what} ${version.join('.')}`;
  if (!atLeast(version, needs.kubernetes)) {
    return [
      { level: 'error', subject, message: `${text} is older than ${needs.kubernetes.join('.')}, which ${mode} needs` },
    ];
  }
  if (isRetired(mode, version, proxyConfig)) {
    return [
      {
        level: 'error',
        subject,
        message: `${text} does not start in mode ${mode} any more (off since ${needs.goneIn?.join('.')})`,
      },
    ];
  }
  if (mode === 'ipvs' && atLeast(version, IPVS_DEPRECATED)) {
    const message = `mode ipvs is deprecated since ${IPVS_DEPRECATED.join('.')} and off by default from ${needs.goneIn?.join('.') ?? 'later versions'}`;
    return [{ level: 'warning', subject, message }];
  }
  return [];
}

function ofImage(image: string, api: readonly [number, number] | undefined, look: Look): Finding[] {
  const version = imageVersion(image);
  const daemonSet = look.inventory.proxy.daemonSet;
  const subject = daemonSet ? `daemonset ${daemonSet.namespace}/${daemonSet.name}` : 'cluster';
  if (!version)
    return [{ level: 'inconclusive', subject, message: `the version of image ${image} cannot be read from its tag` }];
  // A deprecation is said once, of the cluster.
  const findings = ofMode(version, look, subject, 'kube-proxy image').filter(f => f.level === 'error');
  if (api && (version[0] > api[0] || (version[0] === api[0] && version[1] > api[1]))) {
    const message = `kube-proxy image ${version.join('.')} is newer than the API server ${api.join('.')}, which is not supported`;
    findings.push({ level: 'error', subject, message });
  }
  return findings;
}
