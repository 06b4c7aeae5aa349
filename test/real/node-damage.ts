// Shell scripts that do to a node's rules, in each mode, what somebody else might do behind kube-proxy's back. They fail where
// nothing is changed. kube-proxy believes its rules there: iptables and nftables mode write them again when something changes,
// ipvs mode after its syncPeriod.
import type { Mode } from '../../src/core/mode.ts';

/** A port of a Service, as far as damage depends on it. */
export interface DamagedPort {
  /** `namespace/name`. */
  readonly service: string;
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  readonly clusterIP: string;
  readonly port: number;
  /** `10.244.2.5:8080`. */
  readonly endpoints: readonly string[];
  readonly nodePort?: number;
}

type Scripts = Readonly<Record<Mode, string>>;

const DIR = '/run/px-damage';
/** Where nobody is. */
const DEAD = '10.255.255.254';

/** Keeps the rules as they are. */
export const KEEP: Scripts = {
  iptables: `mkdir -p ${DIR}
iptables-nft-save -t nat > ${DIR}/nat
iptables-nft-save -t filter > ${DIR}/filter`,
  nftables: `mkdir -p ${DIR}
for family in ip ip6; do nft list table $family kube-proxy > ${DIR}/$family; done`,
  ipvs: `mkdir -p ${DIR}
ipvsadm -Sn > ${DIR}/servers`,
};

/** Puts back what was kept. */
export const RESTORE: Scripts = {
  iptables: `for table in nat filter; do iptables-nft-restore -T $table < ${DIR}/$table; done`,
  nftables: `for family in ip ip6; do ${reload('$family', `${DIR}/$family`)}; done`,
  ipvs: `ipvsadm -C
ipvsadm -R < ${DIR}/servers`,
};

function reload(family: string, file: string): string {
  return `{ echo "add table ${family} kube-proxy"; echo "delete table ${family} kube-proxy"; cat ${file}; } | nft -f -`;
}

/** The kept rules of IPv4 go through sed, and into the kernel in one piece. */
function edited(file: string, sed: string, load: string): string {
  return `sed -E '${sed}' ${DIR}/${file} > ${DIR}/edited
if cmp -s ${DIR}/${file} ${DIR}/edited; then echo 'nothing to damage'; exit 1; fi
${load}`;
}

const iptables = (sed: string) => edited('nat', sed, `iptables-nft-restore -T nat < ${DIR}/edited`);
const nftables = (sed: string) => edited('ip', sed, reload('ip', `${DIR}/edited`));

/** In the chain that spreads connections over the port's endpoints. */
const inChain = ({ service, protocol, name }: DamagedPort, sed: string) =>
  nftables(`\\#^\\tchain service-[A-Z0-9]+-${service}/${protocol}/${name} \\{$#,/^\\t\\}$/{${sed}}`);

const without = (map: string, key: string) => `nft delete element ip kube-proxy ${map} '{ ${key} }'`;
const nftKey = ({ clusterIP, protocol, port }: DamagedPort) => `${clusterIP} . ${protocol} . ${port}`;
const server = ({ clusterIP, protocol, port }: DamagedPort) => `-${protocol.charAt(0)} ${clusterIP}:${port}`;

export function withoutService(port: DamagedPort): Scripts {
  return {
    iptables: iptables(`\\#"${port.service}:#d`),
    nftables: `${inChain(port, '/meta l4proto/d')}
${without('service-ips', nftKey(port))}`,
    ipvs: `ipvsadm -D ${server(port)}`,
  };
}

export function withoutEndpoint(port: DamagedPort): Scripts {
  const [first = '', ...others] = port.endpoints;
  const map = others.map((endpoint, i) => `${i} : ${endpoint.replace(':', ' . ')}`).join(', ');
  return {
    iptables: iptables(`\\#^-A KUBE-SVC-.*"${port.service}:${port.name} -> ${first}"#d`),
    nftables: inChain(port, `s/mod [0-9]+ map .*/mod ${others.length} map { ${map} }/`),
    ipvs: `ipvsadm -d ${server(port)} -r ${first}`,
  };
}

export function deadEndpoint(port: DamagedPort): Scripts {
  const [first = ''] = port.endpoints;
  const [ip, number] = first.split(':');
  return {
    iptables: iptables(
      `\\#"${port.service}:${port.name}"#s/--to-destination ${first}/--to-destination ${DEAD}:${number}/`,
    ),
    nftables: inChain(port, `s/ : ${ip} \\. ${number}/ : ${DEAD} . ${number}/`),
    ipvs: `ipvsadm -d ${server(port)} -r ${first}
ipvsadm -a ${server(port)} -r ${DEAD}:${number} -m -w 1`,
  };
}

/** The cluster IP's port leads nowhere any more; the Service's other ports do. */
export function withoutPort(port: DamagedPort): Scripts {
  return {
    iptables: iptables(`\\#^-A KUBE-SERVICES .*"${port.service}:${port.name} cluster IP"#d`),
    nftables: without('service-ips', nftKey(port)),
    ipvs: `ipvsadm -D ${server(port)}`,
  };
}

export function withoutNodePort({ protocol, nodePort }: DamagedPort): Scripts {
  return {
    iptables: iptables(`/^-A KUBE-NODEPORTS .*--dport ${nodePort} /d`),
    nftables: without('service-nodeports', `${protocol} . ${nodePort}`),
    ipvs: `servers=$(grep -oE '^-A -${protocol.charAt(0)} [0-9.]+:${nodePort} ' ${DIR}/servers | cut -d ' ' -f 3)
[ -n "$servers" ]
for server in $servers; do ipvsadm -D -${protocol.charAt(0)} $server; done`,
  };
}

export function withoutAffinity(port: DamagedPort): Scripts {
  return {
    iptables: iptables(`\\#"${port.service}:${port.name} -> .*--rcheck#d`),
    nftables: inChain(port, '/ip saddr @affinity-/d'),
    ipvs: `grep -E '^-A ${server(port)} .*-p ' ${DIR}/servers
ipvsadm -E ${server(port)} -s rr`,
  };
}

/** As after `iptables -F`, `nft delete table` or `ipvsadm -C` of somebody else. */
export const WITHOUT_RULES: Scripts = {
  iptables: `iptables-nft -t nat -F
for chain in KUBE-SERVICES KUBE-EXTERNAL-SERVICES KUBE-NODEPORTS; do iptables-nft -t filter -F $chain; done`,
  nftables: 'for family in ip ip6; do nft delete table $family kube-proxy; done',
  ipvs: 'ipvsadm -C',
};
