// What somebody does to the rules of an embedded node, in each mode, as with iptables, nft or ipvsadm.
import type { Mode } from '../../src/core/mode.ts';
import type { Damage } from '../../src/sim/faults.ts';
import type { Iptables } from '../../src/sim/iptables.ts';
import type { VirtualServer } from '../../src/sim/ipvs.ts';
import type { NftChain } from '../../src/sim/nft.ts';
import { type Endpoint, portLabel, type ServicePort } from '../../src/sim/services.ts';

/** Where nobody is. */
const DEAD = '10.255.255.254';

/** Gives the rules of a chain as they are to be; undefined deletes one. */
type EditRule = (rule: string, chain: string) => string | undefined;
type Sides = Readonly<Record<Mode, Damage>>;

function editRules(iptables: Iptables, edit: EditRule): void {
  for (const table of ['nat', 'filter'] as const) {
    for (const [chain, rules] of [...iptables.chains(table)]) {
      const edited = rules.flatMap(rule => edit(rule, chain) ?? []);
      if (edited.join('\n') !== rules.join('\n')) iptables.setChain(table, chain, edited);
    }
  }
}

function rulesOf(edit: EditRule): Damage {
  return ({ iptables }) => editRules(iptables.IPv4, edit);
}

/** Chains of one Service. */
function chainsOf({ service, protocol }: ServicePort, edit: (chain: NftChain) => NftChain): Damage {
  return ({ nft }) => {
    const { ip: table } = nft;
    if (!table) return;
    const chains = [...table.chains].map(([name, chain]): [string, NftChain] => [
      name,
      name.includes(`-${service}/${protocol}/`) ? edit(chain) : chain,
    ]);
    nft.ip = { ...table, chains: new Map(chains) };
  };
}

/** Virtual servers of one Service's cluster IP; undefined deletes one. */
function serversOf(
  { clusterIP, protocol, port }: ServicePort,
  edit: (server: VirtualServer) => VirtualServer | undefined,
): Damage {
  return ({ ipvs }) => {
    const key = `${protocol}/${clusterIP}/${port}`;
    const server = ipvs.servers.get(key);
    const edited = server && edit(server);
    if (edited) ipvs.servers.set(key, edited);
    else ipvs.servers.delete(key);
  };
}

function withEndpoints(chain: NftChain, edit: (endpoint: Endpoint) => Endpoint | undefined): NftChain {
  if (chain.kind !== 'service') return chain;
  return { ...chain, endpoints: chain.endpoints.flatMap(endpoint => edit(endpoint) ?? []) };
}

export function withoutEndpoint(port: ServicePort, { ip, port: number }: Endpoint): Sides {
  const text = `"${portLabel(port)} -> ${ip}:${number}"`;
  return {
    iptables: rulesOf(rule => (rule.includes(text) ? undefined : rule)),
    nftables: chainsOf(port, chain => withEndpoints(chain, end => (end.ip === ip ? undefined : end))),
    ipvs: serversOf(port, server => ({ ...server, real: server.real.filter(real => real.ip !== ip) })),
  };
}

export function deadEndpoint(port: ServicePort, { ip, port: number }: Endpoint): Sides {
  const comment = `"${portLabel(port)}"`;
  const end = `--to-destination ${ip}:${number}`;
  const moved = <E extends { ip: string }>(one: E): E => (one.ip === ip ? { ...one, ip: DEAD } : one);
  return {
    iptables: rulesOf(rule =>
      rule.includes(comment) && rule.endsWith(end) ? rule.replace(end, `--to-destination ${DEAD}:${number}`) : rule,
    ),
    nftables: chainsOf(port, chain => withEndpoints(chain, moved)),
    ipvs: serversOf(port, server => ({ ...server, real: server.real.map(moved) })),
  };
}

/** The cluster IP's port leads nowhere any more; the Service's other ports do. */
export function withoutPort(port: ServicePort): Sides {
  const { protocol, clusterIP, port: number } = port;
  return {
    iptables: rulesOf((rule, chain) =>
      chain === 'KUBE-SERVICES' && rule.startsWith(`-d ${clusterIP}/32 -p ${protocol} `) ? undefined : rule,
    ),
    nftables: ({ nft }) => {
      if (!nft.ip) return;
      const services = new Map(nft.ip.services);
      services.delete(`${clusterIP}/${protocol}/${number}`);
      nft.ip = { ...nft.ip, services };
    },
    ipvs: serversOf(port, () => undefined),
  };
}

export function withoutNodePort({ protocol, nodePort }: ServicePort): Sides {
  return {
    iptables: rulesOf((rule, chain) =>
      chain === 'KUBE-NODEPORTS' && rule.includes(`--dport ${nodePort} `) ? undefined : rule,
    ),
    nftables: ({ nft }) => {
      if (!nft.ip) return;
      const nodePorts = new Map(nft.ip.nodePorts);
      nodePorts.delete(`${protocol}/${nodePort}`);
      nft.ip = { ...nft.ip, nodePorts };
    },
    ipvs: ({ ipvs, addresses }) => {
      for (const ip of addresses) ipvs.servers.delete(`${protocol}/${ip}/${nodePort}`);
    },
  };
}

export function withoutAffinity(port: ServicePort): Sides {
  const comment = `"${portLabel(port)}`;
  return {
    iptables: rulesOf(rule => {
      if (!rule.includes(comment)) return rule;
      return rule.includes('-m recent --rcheck') ? undefined : rule.replace(/-m recent --set \S+ \S+ \S+ \S+ \S+ /, '');
    }),
    nftables: chainsOf(port, chain => {
      if (chain.kind !== 'sticky') return chain;
      const endpoints = chain.endpoints.map(({ ip, port, node }) => ({ ip, port, node }));
      return { kind: 'service', protocol: port.protocol, endpoints };
    }),
    ipvs: serversOf(port, ({ seconds: _seconds, ...server }) => server),
  };
}

const PORTALS = /^KUBE-(SERVICES|NODEPORTS|EXTERNAL-SERVICES)$/;

export const withoutRules: Sides = {
  iptables: rulesOf((rule, chain) => (PORTALS.test(chain) ? undefined : rule)),
  nftables: kernel => {
    kernel.deleteNft('ip');
    kernel.deleteNft('ip6');
  },
  ipvs: ({ ipvs }) => ipvs.servers.clear(),
};
