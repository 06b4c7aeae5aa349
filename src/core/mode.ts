/** How kube-proxy turns Services into kernel rules. */
export const MODES = ['iptables', 'ipvs', 'nftables'] as const;
export type Mode = (typeof MODES)[number];

/** What serves Services on a node: a mode, `none` (another program does), or `unknown` until somebody looked. */
export type EffectiveMode = Mode | 'none' | 'unknown';

/** What a mode asks of a node. Versions are [major, minor]. Source: kube-proxy 1.36 `createProxier`, KEP-3866, KEP-5495. */
export interface ModeNeeds {
  readonly kubernetes: readonly [number, number];
  readonly kernel: readonly [number, number];
  /** The first Kubernetes minor whose kube-proxy no longer starts in this mode unless a feature gate says so. */
  readonly goneIn?: readonly [number, number];
}

export const MODE_NEEDS: Record<Mode, ModeNeeds> = {
  iptables: { kubernetes: [1, 0], kernel: [3, 10] },
  ipvs: { kubernetes: [1, 11], kernel: [4, 1], goneIn: [1, 40] },
  // Stable since 1.33; kube-proxy refuses a kernel older than 5.13 (after it has removed the old rules).
  nftables: { kubernetes: [1, 33], kernel: [5, 13] },
};

export function isMode(text: string): text is Mode {
  return (MODES as readonly string[]).includes(text);
}

/** The mode that a kube-proxy says it runs in, in the first lines of its log; undefined where it does not. */
export function modeInLog(head: string): Mode | undefined {
  const [, mode = ''] = /Using (iptables|ipvs|nftables) Proxier/.exec(head) ?? [];
  return isMode(mode) ? mode : undefined;
}

/** kube-proxy says its mode in its first lines; so many bytes hold them. */
export const LOG_HEAD_BYTES = 16_384;

/** The first two numbers of a version text such as `v1.36.3`, `6.1.0-18-amd64`; undefined where there are none. */
export function majorMinor(version: string): [number, number] | undefined {
  const match = /(\d+)\.(\d+)/.exec(version);
  return match ? [Number(match[1]), Number(match[2])] : undefined;
}

/** Number by number; one that `version` lacks counts as 0. */
export function atLeast(version: readonly number[], floor: readonly number[]): boolean {
  const at = floor.findIndex((number, i) => (version[i] ?? 0) !== number);
  return at < 0 || (version[at] ?? 0) > (floor[at] ?? 0);
}
