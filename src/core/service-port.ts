// How addresses and ports of Services are written: the same text for the same thing, however a dump or the API spells it.

/** `10.96.0.1:443/TCP`, `[fd00::1]:53/UDP`. */
export function servicePort(address: string, port: number | string, protocol: string): string {
  return `${hostPort(address, port)}/${protocol.toUpperCase()}`;
}

/** A NodePort, on whichever addresses of the node: `0.0.0.0:30080/TCP`, `[::]:30080/TCP`. */
export function nodePort(family: 'ip' | 'ip6', port: number | string, protocol: string): string {
  return `${family === 'ip' ? '0.0.0.0' : '[::]'}:${port}/${protocol.toUpperCase()}`;
}

/** Whether a key stands for a NodePort. */
export function isNodePort(key: string): boolean {
  return key.startsWith('0.0.0.0:') || key.startsWith('[::]:');
}

/** What a key stands for; a NodePort has no address. */
export interface Frontend {
  readonly family: 'ip' | 'ip6';
  readonly address?: string;
  readonly port: string;
  /** Lower case. */
  readonly protocol: string;
}

/** The parts of a key; undefined for a text that is none. */
export function readKey(key: string): Frontend | undefined {
  const [, v6, v4, port, protocol] = /^(?:\[([0-9a-f:.]+)\]|([\d.]+)):(\d{1,5})\/(TCP|UDP|SCTP)$/.exec(key) ?? [];
  const address = v6 ?? v4;
  if (address === undefined || port === undefined || protocol === undefined) return undefined;
  const rest = { port, protocol: protocol.toLowerCase() };
  const family = v6 === undefined ? 'ip' : 'ip6';
  return isNodePort(key) ? { family, ...rest } : { family, address, ...rest };
}

/** `10.244.0.5:8080`, `[fd00::5]:8080`. */
export function hostPort(address: string, port: number | string): string {
  return address.includes(':') ? `[${shortAddress(address)}]:${port}` : `${address}:${port}`;
}

/** An IPv6 address in its shortest form (RFC 5952); anything else as it is. */
export function shortAddress(address: string): string {
  if (!address.includes(':')) return address;
  return URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1) ?? address;
}
