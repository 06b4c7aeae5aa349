// What becomes of a connection on a node, mode by mode, where kube-proxy's modes differ and where they do not.
// Source: kube-proxy 1.36 pkg/proxy/{iptables,ipvs,nftables}/proxier.go.
import { describe, expect, it } from 'vitest';
import { MODES, type Mode } from '../../src/core/mode.ts';
import { answerDns } from '../../src/sim/dns.ts';
import { type Connection, Kernel } from '../../src/sim/kernel.ts';
import { programNft } from '../../src/sim/nft.ts';
import { programIptables } from '../../src/sim/program-iptables.ts';
import { programIpvs } from '../../src/sim/program-ipvs.ts';
import { Random } from '../../src/sim/random.ts';
import type { Endpoint, ServicePort } from '../../src/sim/services.ts';
import { answers, dnsQuestion } from '../../src/watcher/dns.ts';

const PRIMARY = '192.168.7.2';
const SECOND = '172.20.7.2';
const CLIENT = '10.244.0.77';
const LOCAL: Endpoint = { ip: '10.244.0.5', port: 8080, node: 'n' };
const AWAY: Endpoint = { ip: '10.244.1.7', port: 8080, node: 'm' };

const service = (over: Partial<ServicePort> = {}): ServicePort => ({
  service: 'shop/web',
  portName: 'http',
  protocol: 'tcp',
  clusterIP: '10.96.0.11',
  port: 80,
  externalIPs: [],
  balancerIPs: [],
  sourceRanges: [],
  internalLocal: false,
  localOnly: false,
  endpoints: [LOCAL, AWAY],
  draining: [],
  ...over,
});

/** The node n with these Services' rules in a mode. `addresses` are what nodePortAddresses says; the mode's default without. */
function kernelIn(mode: Mode, ports: ServicePort[], addresses?: readonly string[]): Kernel {
  const kernel = new Kernel([PRIMARY, SECOND], new Random(1));
  const view = { version: 1, ports };
  const node = { name: 'n', ip: PRIMARY, clusterCIDR: '10.244.0.0/16' };
  if (mode === 'nftables')
    kernel.setNft('ip', programNft('ip', view, { ...node, nodePortIPs: addresses ?? [PRIMARY] }));
  else kernel.useIptables();
  if (mode === 'iptables') programIptables(kernel.iptables.IPv4, view, { ...node, nodePortIPs: addresses });
  if (mode === 'ipvs') {
    const nodePortIPs = addresses ?? kernel.addresses;
    const own = { ...node, nodePortIPs, scheduler: 'rr', excluded: () => false };
    programIpvs(kernel.ipvs, kernel.iptables.IPv4, 'IPv4', view, own);
  }
  return kernel;
}

function dial(kernel: Kernel, ip: string, port: number, more: Partial<Connection> = {}): string {
  const fate = kernel.connect({ protocol: 'tcp', ip, port, from: 'pod', client: CLIENT, ...more });
  return fate.kind === 'backend' ? 'answered' : fate.kind;
}

/** The same in every mode, or one for each. */
type Fates = string | Record<Mode, string>;
const fates = (iptables: string, ipvs: string, nftables: string): Fates => ({ iptables, ipvs, nftables });
const nodePort = service({ nodePort: 30080 });
const balanced = (over: Partial<ServicePort>) => service({ balancerIPs: ['203.0.113.9'], ...over });
const away = { endpoints: [AWAY] };

const ROWS: [what: string, port: ServicePort, ip: string, number: number, from: 'pod' | 'host', fates: Fates][] = [
  ['a cluster IP', service(), '10.96.0.11', 80, 'pod', 'answered'],
  ['a cluster IP from the node', service(), '10.96.0.11', 80, 'host', 'answered'],
  ['no endpoints', service({ endpoints: [] }), '10.96.0.11', 80, 'pod', 'refused'],
  ['a NodePort on the primary address', nodePort, PRIMARY, 30080, 'pod', 'answered'],
  ['a NodePort on another address', nodePort, SECOND, 30080, 'pod', fates('answered', 'answered', 'untouched')],
  ['a NodePort on 127.0.0.1', nodePort, '127.0.0.1', 30080, 'host', fates('answered', 'untouched', 'untouched')],
  ['a load balancer address', balanced({}), '203.0.113.9', 80, 'pod', 'answered'],
  [
    'an external address from the node',
    service({ externalIPs: ['198.51.100.9'] }),
    '198.51.100.9',
    80,
    'host',
    'answered',
  ],
  [
    'internal policy Local with an endpoint here',
    service({ internalLocal: true }),
    '10.96.0.11',
    80,
    'pod',
    'answered',
  ],
  [
    'internal policy Local without',
    service({ internalLocal: true, ...away }),
    '10.96.0.11',
    80,
    'pod',
    fates('timeout', 'refused', 'timeout'),
  ],
  [
    'the same where it is also a NodePort: ipvs serves it',
    service({ internalLocal: true, nodePort: 30080, ...away }),
    '10.96.0.11',
    80,
    'pod',
    fates('timeout', 'answered', 'timeout'),
  ],
  [
    'external policy Local without, from a pod',
    balanced({ localOnly: true, ...away }),
    '203.0.113.9',
    80,
    'pod',
    'answered',
  ],
  [
    'external policy Local without, from the node: ipvs has no short way',
    balanced({ localOnly: true, ...away }),
    '203.0.113.9',
    80,
    'host',
    fates('answered', 'timeout', 'answered'),
  ],
  [
    'a port that the cluster IP does not have',
    service(),
    '10.96.0.11',
    99,
    'pod',
    fates('untouched', 'refused', 'refused'),
  ],
];

describe.each(MODES)('in %s mode', mode => {
  it.each(ROWS)('%s', (_what, port, ip, number, from, expected) => {
    const kernel = kernelIn(mode, [port]);
    const client = from === 'host' ? PRIMARY : CLIENT;
    expect(dial(kernel, ip, number, { from, client })).toBe(typeof expected === 'string' ? expected : expected[mode]);
  });

  it('NodePorts answer where nodePortAddresses says', () => {
    const kernel = kernelIn(mode, [nodePort], [SECOND]);
    expect(dial(kernel, SECOND, 30080)).toBe('answered');
    expect(dial(kernel, PRIMARY, 30080)).toBe('untouched');
  });

  it('a client stays with its endpoint where the Service asks for it, and only there', () => {
    const chosen = (port: ServicePort, client: string, kernel = kernelIn(mode, [port])) => {
      const dials = Array.from({ length: 20 }, () =>
        kernel.connect({ protocol: 'tcp', ip: port.clusterIP, port: 80, from: 'pod', client }),
      );
      return new Set(dials.map(fate => (fate.kind === 'backend' ? fate.backend : fate.kind)));
    };
    expect(chosen(service(), CLIENT).size).toBe(2);
    const sticky = service({ affinitySeconds: 3600 });
    const kernel = kernelIn(mode, [sticky]);
    const [first] = chosen(sticky, CLIENT, kernel);
    expect(chosen(sticky, CLIENT, kernel)).toEqual(new Set([first]));
    const others = new Set(
      Array.from({ length: 20 }, (_, n) => [...chosen(sticky, `10.244.0.${n + 100}`, kernel)].join()),
    );
    expect(others.size).toBe(2);
  });

  it('a pod reaches itself through its Service', () => {
    const own = service({ endpoints: [{ ...LOCAL, ip: CLIENT }] });
    expect(dial(kernelIn(mode, [own]), '10.96.0.11', 80)).toBe('answered');
  });

  it.each([
    ['udp', service({ protocol: 'udp' }), '10.96.0.11', 80],
    ['node-port', nodePort, PRIMARY, 30080],
    ['hairpin', service({ endpoints: [{ ...LOCAL, ip: CLIENT }] }), '10.96.0.11', 80],
  ] as const)('%s dies in this mode alone when it is disturbed', (what, port, ip, number) => {
    const kernel = kernelIn(mode, [port]);
    const protocol = what === 'udp' ? 'udp' : 'tcp';
    kernel.disturbed.set(
      what,
      MODES.filter(other => other !== mode),
    );
    expect(dial(kernel, ip, number, { protocol })).toBe('answered');
    kernel.disturbed.set(what, [mode]);
    expect(dial(kernel, ip, number, { protocol })).toBe('timeout');
    // Everything else goes on.
    const plain = kernelIn(mode, [service()]);
    plain.disturbed.set(what, [mode]);
    expect(dial(plain, '10.96.0.11', 80)).toBe('answered');
  });
});

it('a hairpin needs its masquerade', () => {
  const own = service({ endpoints: [{ ...LOCAL, ip: CLIENT }] });
  const iptables = kernelIn('iptables', [own]);
  iptables.iptables.IPv4.setChain('nat', 'KUBE-POSTROUTING', []);
  expect(dial(iptables, '10.96.0.11', 80)).toBe('timeout');
  // The endpoint is another node's, as far as the slice says.
  const nft = kernelIn('nftables', [service({ endpoints: [{ ...LOCAL, ip: CLIENT, node: 'm' }] })]);
  expect(dial(nft, '10.96.0.11', 80)).toBe('timeout');
});

describe('the simulated DNS', () => {
  const view = { version: 1, ports: [service({ service: 'default/kubernetes', clusterIP: '10.96.0.1' })] };
  it.each([
    ['kubernetes.default.svc.cluster.local', '10.96.0.1', true],
    ['nothing.default.svc.cluster.local', '10.96.0.1', false],
    ['kubernetes.default.svc.other.example', '10.96.0.1', false],
    // No address of that family.
    ['kubernetes.default.svc.cluster.local', 'fd00::a', false],
  ])('%s asked of %s: %s', (name, server, known) => {
    const question = dnsQuestion(name, server);
    const answer = answerDns(question, view);
    expect(answer && answers(answer, question)).toBe(known);
    if (known) expect(answer?.subarray(-4).join('.')).toBe('10.96.0.1');
  });

  it('drops what is no question', () => {
    expect(answerDns(Buffer.from('hostname'), view)).toBeUndefined();
  });
});
