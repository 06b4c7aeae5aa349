// A KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1) carried from one mode to another. kube-proxy ignores the options
// of other modes without a word, so what a mode does not know is named here.
import type { IpFamily } from './inventory.ts';
import type { Mode } from './mode.ts';
import { type KubeProxyConfiguration, sectionOf } from './proxy-config.ts';

export interface ConfigEdit {
  /** Keys from the root of the document; sections on the way may be missing. */
  path: string[];
  value: unknown;
}

export interface ConfigNote {
  level: 'info' | 'warning' | 'error';
  /** The option as it is written in the configuration: `ipvs.scheduler`. */
  path: string;
  message: string;
}

export interface ConfigTranslation {
  edits: ConfigEdit[];
  notes: ConfigNote[];
}

export interface TranslationOptions {
  /** `preserve`: NodePorts answer on the addresses where they answered; `default`: on those of the new mode. */
  readonly nodePortAddresses: 'preserve' | 'default';
  /** Address families of the cluster; both when empty. */
  readonly families: readonly IpFamily[];
}

interface Translating {
  readonly config: KubeProxyConfiguration;
  readonly from: Mode;
  readonly to: Mode;
  readonly options: TranslationOptions;
  readonly edits: ConfigEdit[];
  readonly notes: ConfigNote[];
}

/** Where a mode reads `masqueradeAll` and `masqueradeBit`: ipvs has no such options of its own. */
const MASQUERADE_SECTION: Record<Mode, 'iptables' | 'nftables'> = {
  iptables: 'iptables',
  ipvs: 'iptables',
  nftables: 'nftables',
};
const MASQUERADE_DEFAULTS = { masqueradeAll: false, masqueradeBit: 14 } as const;

/** Seconds; kube-proxy's own defaults for what is absent or 0s. */
const SYNC_DEFAULTS: Record<Mode, { syncPeriod: number; minSyncPeriod: number }> = {
  iptables: { syncPeriod: 30, minSyncPeriod: 1 },
  ipvs: { syncPeriod: 30, minSyncPeriod: 0 },
  nftables: { syncPeriod: 30, minSyncPeriod: 1 },
};

const MATCH_ALL = { IPv4: '0.0.0.0/0', IPv6: '::/0' } as const;

/** ipvs options that no other mode knows: when they count as set, and what is lost with them. */
const IPVS_ONLY: readonly { key: string; isSet: (value: unknown) => boolean; lost: string }[] = [
  {
    key: 'scheduler',
    isSet: value => isText(value) && value !== '' && value !== 'rr',
    lost: 'endpoints are chosen at random; clients that relied on this scheduler (stickiness of sh, dh, mh; weighting by load) lose that',
  },
  {
    key: 'excludeCIDRs',
    isSet: value => Array.isArray(value) && value.length > 0,
    lost: 'virtual servers that somebody else keeps in these ranges are not protected from the cleaning of ipvs',
  },
  {
    key: 'strictARP',
    isSet: value => value === true,
    lost: 'it is not needed without kube-ipvs0; the sysctls it set stay until a reboot',
  },
  {
    key: 'tcpTimeout',
    isSet: isDuration,
    lost: 'idle TCP connections live as long as conntrack says (conntrack.tcpEstablishedTimeout)',
  },
  {
    key: 'tcpFinTimeout',
    isSet: isDuration,
    lost: 'closing TCP connections live as long as conntrack says (conntrack.tcpCloseWaitTimeout)',
  },
  {
    key: 'udpTimeout',
    isSet: isDuration,
    lost: 'UDP flows live as long as conntrack says (conntrack.udpTimeout, udpStreamTimeout)',
  },
];

/**
 * Pure. The edits that make a configuration for mode `from` one for mode `to`, and a note for every option that changes meaning
 * or has no equivalent. `config` is the parsed document; `mode` is always written, because its default changes in 1.40.
 * Source: kube-proxy 1.36 types.go and defaults.go.
 */
export function translateConfig(
  config: KubeProxyConfiguration,
  from: Mode,
  to: Mode,
  options: TranslationOptions,
): ConfigTranslation {
  const translating: Translating = { config, from, to, options, edits: [{ path: ['mode'], value: to }], notes: [] };
  if (from !== to) {
    translateMasquerade(translating);
    translateSyncPeriods(translating);
    translateIpvsOptions(translating);
    translateLocalhostNodePorts(translating);
    translateNodePortAddresses(translating);
  }
  translateFeatureGate(translating);
  if (to === 'ipvs' && sectionOf(config, 'featureGates').KubeProxyIPVS === false) {
    const message = 'false forbids ipvs: remove it first';
    translating.notes.push({ level: 'error', path: 'featureGates.KubeProxyIPVS', message });
  }
  return { edits: translating.edits, notes: translating.notes };
}

/** What the old mode did must go on, so the old section wins over what the new section says. */
function translateMasquerade({ config, from, to, edits, notes }: Translating): void {
  const [source, target] = [MASQUERADE_SECTION[from], MASQUERADE_SECTION[to]];
  if (source === target) return;
  for (const key of ['masqueradeAll', 'masqueradeBit'] as const) {
    const was = sectionOf(config, source)[key] ?? MASQUERADE_DEFAULTS[key];
    const own = sectionOf(config, target)[key];
    if ((own ?? MASQUERADE_DEFAULTS[key]) === was) continue;
    edits.push({ path: [target, key], value: was });
    const path = `${target}.${key}`;
    if (isSet(own))
      notes.push({
        level: 'warning',
        path,
        message: `${show(own)} is replaced by ${show(was)}, as ${source}.${key} has it`,
      });
    else notes.push({ level: 'info', path, message: `set to ${show(was)}, as ${source}.${key} has it` });
  }
}

function translateSyncPeriods({ config, from, to, edits, notes }: Translating): void {
  for (const key of ['syncPeriod', 'minSyncPeriod'] as const) {
    const value = sectionOf(config, from)[key];
    const seconds = durationSeconds(value);
    if (!seconds || seconds === SYNC_DEFAULTS[from][key]) continue;
    const path = `${to}.${key}`;
    const own = sectionOf(config, to)[key];
    const ownSeconds = durationSeconds(own);
    if (ownSeconds === seconds || (!ownSeconds && SYNC_DEFAULTS[to][key] === seconds)) continue;
    if (ownSeconds) {
      notes.push({ level: 'info', path, message: `stays ${show(own)}; ${from}.${key} is ${show(value)}` });
      continue;
    }
    edits.push({ path: [to, key], value });
    const slow = key === 'minSyncPeriod' && seconds > SYNC_DEFAULTS[to][key];
    notes.push({
      level: slow ? 'warning' : 'info',
      path,
      message: `set to ${show(value)}, as ${from}.${key} has it${slow ? `; endpoints change that late, ${to} does well with ${SYNC_DEFAULTS[to][key]}s` : ''}`,
    });
  }
}

function translateIpvsOptions({ config, from, to, notes }: Translating): void {
  const ipvs = sectionOf(config, 'ipvs');
  for (const { key, isSet: counts, lost } of IPVS_ONLY) {
    const value = ipvs[key];
    if (!counts(value)) continue;
    const path = `ipvs.${key}`;
    if (from === 'ipvs')
      notes.push({ level: 'warning', path, message: `${show(value)} has no equivalent in ${to}: ${lost}` });
    else if (to === 'ipvs') notes.push({ level: 'info', path, message: `${show(value)} comes into force` });
  }
}

function translateLocalhostNodePorts({ config, from, to, notes }: Translating): void {
  const value = sectionOf(config, 'iptables').localhostNodePorts;
  const path = 'iptables.localhostNodePorts';
  if (from === 'iptables' && value === true) {
    notes.push({
      level: 'warning',
      path,
      message: `has no equivalent in ${to}: NodePorts stop answering on 127.0.0.1`,
    });
  } else if (to === 'iptables' && value === false) {
    notes.push({ level: 'info', path, message: 'false comes into force: NodePorts do not answer on 127.0.0.1' });
  }
}

/** Left empty it means every local address in iptables and ipvs, the node's primary ones in nftables; `primary` is known to all. */
function translateNodePortAddresses({ config, from, to, options, edits, notes }: Translating): void {
  if ((from === 'nftables') === (to === 'nftables')) return;
  const path = 'nodePortAddresses';
  const given = config[path];
  if (Array.isArray(given) && given.length > 0) return;
  const before = from === 'nftables' ? "the node's primary addresses" : 'every local address';
  const after = from === 'nftables' ? 'every local address' : "the node's primary addresses";
  if (options.nodePortAddresses === 'default') {
    const message = `is empty: NodePorts and health check node ports answered on ${before}, they will on ${after}`;
    notes.push({ level: 'warning', path, message });
    return;
  }
  const families = options.families.length > 0 ? options.families : (['IPv4', 'IPv6'] as const);
  const value =
    from === 'nftables'
      ? ['primary']
      : (['IPv4', 'IPv6'] as const).filter(f => families.includes(f)).map(f => MATCH_ALL[f]);
  edits.push({ path: [path], value });
  notes.push({ level: 'info', path, message: `set to ${show(value)}: NodePorts go on answering on ${before}` });
}

/** Until 1.32 nftables had to be asked for by a gate; since 1.33 the gate is locked to true. */
function translateFeatureGate({ config, to, notes }: Translating): void {
  const value = sectionOf(config, 'featureGates').NFTablesProxyMode;
  const path = 'featureGates.NFTablesProxyMode';
  if (!isSet(value)) return;
  if (to === 'nftables' && value === false) {
    notes.push({ level: 'error', path, message: 'false forbids nftables: remove it first' });
  } else {
    const message = `${show(value)} is a leftover: kube-proxy needs no gate since 1.33 and will not start once the gate is gone`;
    notes.push({ level: 'info', path, message });
  }
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isDuration(value: unknown): boolean {
  return Boolean(durationSeconds(value));
}

const UNITS: Readonly<Record<string, number>> = { h: 3600, m: 60, s: 1, ms: 1e-3, us: 1e-6, µs: 1e-6, ns: 1e-9 };

/** A Go duration (`1m30s`, `500ms`) in seconds; undefined where it is none. A number is nanoseconds, as Go reads it. */
function durationSeconds(value: unknown): number | undefined {
  if (typeof value === 'number') return value * 1e-9;
  if (!isText(value) || !/^(\d+(\.\d+)?(h|ms|m|us|µs|ns|s))+$/.test(value)) return undefined;
  let seconds = 0;
  for (const [, amount, unit] of value.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|us|µs|ns|s)/g)) {
    seconds += Number(amount) * (UNITS[unit ?? ''] ?? 0);
  }
  return seconds;
}

function show(value: unknown): string {
  return isText(value) ? `"${value}"` : JSON.stringify(value);
}
