// Which mode a kube-proxy starts in, by its configuration and its version, and whether it starts in that at all.
import { imageVersion } from './image-version.ts';
import { atLeast, isMode, MODE_NEEDS, type Mode } from './mode.ts';
import { type KubeProxyConfiguration, sectionOf } from './proxy-config.ts';

/** An empty mode means nftables from here on: KEP-5343. */
const NFTABLES_BY_DEFAULT = [1, 40] as const;
/** From here on no feature gate brings mode ipvs back: KEP-5495. */
const IPVS_REMOVED = [1, 43] as const;

/** The mode that a configuration asks for. An image whose tag tells no version is taken for one of today. */
export function configuredMode({ mode }: KubeProxyConfiguration, image: string | undefined): Mode | undefined {
  if (mode === undefined || mode === null || mode === '') {
    const version = imageVersion(image ?? '');
    return version && atLeast(version, NFTABLES_BY_DEFAULT) ? 'nftables' : 'iptables';
  }
  return typeof mode === 'string' && isMode(mode) ? mode : undefined;
}

/** What the configuration says of the feature gate KubeProxyIPVS; undefined where it leaves it to the version. */
export function ipvsGate(config: KubeProxyConfiguration | undefined): boolean | undefined {
  const { KubeProxyIPVS: gate } = sectionOf(config, 'featureGates');
  return typeof gate === 'boolean' ? gate : undefined;
}

/** Whether a kube-proxy of this version starts in the mode no more, for the feature gates of its configuration. */
export function isRetired(mode: Mode, version: readonly number[], config: KubeProxyConfiguration | undefined): boolean {
  const { goneIn } = MODE_NEEDS[mode];
  if (!goneIn || !atLeast(version, goneIn)) return false;
  return ipvsGate(config) !== true || atLeast(version, IPVS_REMOVED);
}
