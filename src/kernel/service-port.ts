/** What a mode answers for on a node, as far as its rules are reached from the kernel's hooks. */
export interface ModeReading {
  /** A hook leads to rules that only this mode writes. */
  readonly present: boolean;
  /** Cluster, external and load balancer addresses as `servicePort` writes them; those without endpoints included. */
  readonly served: ReadonlySet<string>;
  /** `port/PROTOCOL`. */
  readonly nodePorts: ReadonlySet<string>;
}

/** `10.96.0.1:443/TCP`, `[fd00::1]:53/UDP`: the same text for the same address, however a dump spells it. */
export function servicePort(address: string, port: number | string, protocol: string): string {
  const host = address.includes(':') ? `[${shortAddress(address)}]` : address;
  return `${host}:${port}/${protocol.toUpperCase()}`;
}

/** An IPv6 address in its shortest form (RFC 5952); anything else as it is. */
export function shortAddress(address: string): string {
  if (!address.includes(':')) return address;
  return URL.parse(`http://[${address}]/`)?.hostname.slice(1, -1) ?? address;
}
