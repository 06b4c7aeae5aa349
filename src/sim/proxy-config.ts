// What a kube-proxy container is told: its configuration file, its flags, and the programs on its PATH.
import { isIP } from 'node:net';
import { parse } from 'yaml';
import { isMode, type Mode } from '../core/mode.ts';
import { MAIN_PORTS } from '../core/names.ts';
import type { HostPort } from '../core/proxy-address.ts';
import type { Toolbox } from './cleanup.ts';
import { isRecord } from './json-patch.ts';
import type { ContainerRun } from './world.ts';

export interface ProxyConfig {
  readonly mode: Mode;
  /** The file says it; otherwise it is the default. */
  readonly modeGiven: boolean;
  readonly metrics: HostPort;
  readonly healthz: HostPort;
  readonly nodePortAddresses: readonly string[];
  /** The address that it takes for the node's own; empty for the first of the node object. */
  readonly bound: string;
  readonly clusterCIDR: string;
  readonly scheduler: string;
  readonly excludeCIDRs: readonly string[];
  readonly conntrackMax: number;
  /** The document, for /configz. */
  readonly document: Record<string, unknown>;
}

/** @throws Error with kube-proxy's words when there is no file, or it cannot be read. */
export function readConfig({ command, args, files }: ContainerRun): ProxyConfig {
  const flags = [...command.slice(1), ...args];
  const path = flagValue(flags, '--config');
  if (path === undefined) throw new Error('no --config given');
  const text = files.get(path);
  if (text === undefined) throw new Error(`failed to load config: open ${path}: no such file or directory`);
  const parsed: unknown = parse(text);
  const document = isRecord(parsed) ? parsed : {};
  const given = String(document.mode ?? '');
  if (given !== '' && !isMode(given))
    throw new Error(`Mode: Invalid value: "${given}": must be iptables, ipvs, nftables or blank`);
  const ipvs = isRecord(document.ipvs) ? document.ipvs : {};
  const conntrack = isRecord(document.conntrack) ? document.conntrack : {};
  // An empty field follows the family of bindAddress.
  const bindAddress = String(document.bindAddress ?? '');
  const isIPv6 = bindAddress.includes(':');
  // Four cores.
  const perCore = 4 * numberOr(conntrack.maxPerCore, 32_768);
  return {
    mode: isMode(given) ? given : 'iptables',
    modeGiven: given !== '',
    metrics: bound(document.metricsBindAddress, { address: isIPv6 ? '::1' : '127.0.0.1', port: MAIN_PORTS.metrics }),
    healthz: bound(document.healthzBindAddress, { address: isIPv6 ? '::' : '0.0.0.0', port: MAIN_PORTS.healthz }),
    nodePortAddresses: texts(document.nodePortAddresses),
    bound: ['0.0.0.0', '::'].includes(bindAddress) ? '' : bindAddress,
    clusterCIDR: typeof document.clusterCIDR === 'string' ? document.clusterCIDR : '',
    scheduler: typeof ipvs.scheduler === 'string' && ipvs.scheduler !== '' ? ipvs.scheduler : 'rr',
    excludeCIDRs: texts(ipvs.excludeCIDRs),
    conntrackMax: Math.max(perCore, numberOr(conntrack.min, 131_072)),
    document,
  };
}

/** `--flag=value` or `--flag value`. */
function flagValue(flags: readonly string[], name: string): string | undefined {
  const joined = flags.find(flag => flag.startsWith(`${name}=`));
  if (joined !== undefined) return joined.slice(name.length + 1);
  const at = flags.indexOf(name);
  return at < 0 ? undefined : flags[at + 1];
}

/** `ADDRESS:PORT`, `[ADDRESS]:PORT`, or an address alone. */
function bound(value: unknown, unless: HostPort): HostPort {
  if (typeof value !== 'string' || value === '') return unless;
  if (isIP(value) !== 0) return { address: value, port: unless.port };
  const at = value.lastIndexOf(':');
  return { address: value.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(value.slice(at + 1)) };
}

function numberOr(value: unknown, fallback: number): number {
  return typeof value === 'number' ? value : fallback;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const INSTALLED_IN = '/usr/sbin';

/** The programs of the container. A mounted file of a program's name that stands before it on PATH cannot run. */
export function toolboxOf({ env, files }: ContainerRun, missing: (tool: string) => boolean): Toolbox {
  const folders = (env.get('PATH') ?? DEFAULT_PATH).split(':');
  return tool => {
    for (const folder of folders) {
      if (files.has(`${folder}/${tool}`)) return false;
      if (folder === INSTALLED_IN) return !missing(tool);
    }
    return false;
  };
}

/** Whether an IPv4 address lies in a range. */
export function inCIDR(ip: string, cidr: string): boolean {
  const [base = '', bits = '32'] = cidr.split('/');
  if (base.includes(':')) return false;
  const size = 2 ** (32 - Number(bits));
  return Math.floor(toNumber(ip) / size) === Math.floor(toNumber(base) / size);
}

function toNumber(ip: string): number {
  return ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}
