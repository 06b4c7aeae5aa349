// `proxyctl verify` as a process, on the embedded cluster: well, with what is wrong, and with what cannot be seen.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/core/cluster.ts';
import { NAMESPACE } from '../../src/core/names.ts';
import type { Verification } from '../../src/core/verification.ts';
import { type EmbeddedTestbed, embeddedTestbed } from '../scenarios/embedded-testbed.ts';
import { Rounds } from '../scenarios/rounds.ts';
import { differences } from '../scenarios/testbed.ts';
import { tempFile } from './run-cli.ts';

const TIMEOUT = 180_000;
let bed: EmbeddedTestbed;
let before: Map<string, string>;
beforeEach(async () => {
  bed = await embeddedTestbed('iptables', 61);
  before = await bed.objects();
});
afterEach(() => bed.close());

async function verify(code: number, ...args: string[]): Promise<Verification> {
  const result = await bed.proxyctl('verify', '--format', 'json', ...args);
  expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(code);
  return JSON.parse(result.stdout);
}
const nodeName = (index: number) => bed.sim.nodes[index]?.name ?? '';
const verdicts = ({ nodes }: Verification) => Object.fromEntries(nodes.map(n => [n.name, n.verdict]));
const said = ({ nodes, gates }: Verification) =>
  [...nodes.flatMap(n => n.gates), ...gates]
    .flatMap(g => g.findings.map(f => `${g.gate} ${f.level} ${f.subject}: ${f.message}`))
    .join('\n');

/** A team's Service with two endpoints or more, and its slice. */
function victim(): { key: string; slice: KubeObject } {
  const slice = bed.sim.store
    .list('EndpointSlice')
    .find(s => !/^(default|kube-system)$/.test(s.metadata.namespace ?? '') && s.endpoints.length > 1);
  if (!slice) throw new Error('every Service has one endpoint');
  return { key: `${slice.metadata.namespace}/${slice.metadata.labels?.['kubernetes.io/service-name']}`, slice };
}

/** The rules of the victim in the kernel of one node go; its kube-proxy believes them there. */
function silence(node: string): string {
  const { key } = victim();
  bed.sim.fault.silentService(node, key);
  return key;
}

describe('a cluster that is well', () => {
  it('is verified, and as it was before', { timeout: TIMEOUT }, async () => {
    const result = await bed.proxyctl('verify');
    expect(result.code, result.stderr).toBe(0);
    expect(result.stdout).toContain('verified: 3 nodes: 3 well, 0 with errors, 0 inconclusive');
    expect(result.stdout.match(/\d+ Service ports in iptables rules as the API says/g)).toHaveLength(3);
    expect(result.stderr).toContain(
      'nothing of the cluster is changed, but for short-lived pods and Services in namespace proxyctl',
    );
    expect(`${result.stdout}${result.stderr}`).toContain('SIMULATED');
    expect(differences(before, await bed.objects())).toEqual([]);
    expect(bed.sim.store.list('Pod', NAMESPACE)).toEqual([]);
  });

  it('is verified after a migration too, whose record stays', { timeout: TIMEOUT }, async () => {
    expect((await bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes')).code).toBe(0);
    const migrated = await bed.objects();
    const found = await verify(0);
    expect(found.nodes.map(n => n.mode)).toEqual(['nftables', 'nftables', 'nftables']);
    expect(said(found)).toContain('a run of proxyctl stands, neither finalized nor rolled back: 3 nodes bear');
    const changed = differences(migrated, await bed.objects());
    expect(changed.filter(line => !line.startsWith('changed: Lease'))).toEqual([]);
    expect(bed.sim.store.list('Pod', NAMESPACE)).toEqual([]);
    const back = await bed.proxyctl('rollback', '--yes');
    expect(back.code, back.stderr).toBe(0);
    expect(differences(before, await bed.objects())).toEqual([]);
  });
});

describe('what is wrong', () => {
  it('is named by Service and node, and nothing else is', { timeout: TIMEOUT }, async () => {
    const key = silence(nodeName(1));
    const found = await verify(20);
    expect(found.verdict).toBe('fail');
    expect(found.broken).toEqual([{ service: key, nodes: [nodeName(1)] }]);
    expect(verdicts(found)).toEqual({ [nodeName(0)]: 'pass', [nodeName(1)]: 'fail', [nodeName(2)]: 'pass' });
    expect(said(found)).toMatch(
      new RegExp(`kernel-rules error service ${key}: on node ${nodeName(1)}, iptables: .* has no rule`),
    );
    expect(said(found)).toMatch(new RegExp(`service-probes error service ${key}: .* while it answers from `));
    expect(differences(before, await bed.objects())).toEqual([]);
  });

  it('is traffic that dies though every rule is there: NodePorts of one node', { timeout: TIMEOUT }, async () => {
    bed.sim.fault.silentTraffic(nodeName(1), 'node-port');
    const found = await verify(20);
    expect(verdicts(found)).toEqual({ [nodeName(0)]: 'pass', [nodeName(1)]: 'fail', [nodeName(2)]: 'pass' });
    const errors = said(found)
      .split('\n')
      .filter(line => line.includes(' error '));
    expect(errors).not.toEqual([]);
    for (const error of errors) {
      expect(error).toMatch(
        /^service-probes error service .*@node-port:.* its cluster IP answers there, and its NodePort/,
      );
      expect(error).toContain(`from the pod network of ${nodeName(1)}: timeout`);
    }
  });

  it('is session affinity that does not hold, though every rule is there', { timeout: TIMEOUT }, async () => {
    bed.sim.fault.silentTraffic(nodeName(2), 'affinity');
    const found = await verify(20);
    expect(verdicts(found)).toEqual({ [nodeName(0)]: 'pass', [nodeName(1)]: 'pass', [nodeName(2)]: 'fail' });
    expect(said(found)).toMatch(
      new RegExp(`service-probes error node ${nodeName(2)}: session affinity .* a client reached both endpoints`),
    );
    expect(found.broken).toEqual([]);
  });

  it('on another node is not asked for', { timeout: TIMEOUT }, async () => {
    silence(nodeName(1));
    const found = await verify(0, '--node', nodeName(0), nodeName(2));
    expect(Object.keys(verdicts(found)).toSorted()).toEqual([nodeName(0), nodeName(2)].toSorted());
  });

  it('is a kube-proxy that writes no more, once endpoints have moved on', { timeout: TIMEOUT }, async () => {
    const { key, slice } = victim();
    bed.sim.fault.freezeProxy(nodeName(2));
    bed.sim.store.put({ ...slice, endpoints: slice.endpoints.slice(1) });
    const gone = slice.endpoints[0].addresses[0];
    const quick = tempFile('playbook.yaml', 'gates: { settle: 2s, lag: 1s }\n');
    const found = await verify(20, '--playbook', quick);
    expect(found.broken).toContainEqual({ service: key, nodes: [nodeName(2)] });
    // It does not write the probe Service's rules either; nobody else is found wanting.
    expect(verdicts(found)).toEqual({ [nodeName(0)]: 'pass', [nodeName(1)]: 'pass', [nodeName(2)]: 'fail' });
    expect(said(found)).toMatch(
      new RegExp(`sends to ${gone.replaceAll('.', '\\.')}:\\d+, not usable by what the API says`),
    );
  });
});

describe('what cannot be seen', () => {
  it('is no pass: a node that is not Ready', { timeout: TIMEOUT }, async () => {
    bed.sim.fault.nodeNotReady(nodeName(1));
    const found = await verify(20);
    expect(verdicts(found)[nodeName(0)]).toBe('pass');
    expect(verdicts(found)[nodeName(1)]).toBe('inconclusive');
    expect(said(found)).toContain(`watchers inconclusive node ${nodeName(1)}: is not Ready`);
  });

  it('is no pass: an API that stops to tell what changes', { timeout: TIMEOUT }, async () => {
    bed.sim.fault.api({ every: 1, verb: 'watch', resource: 'endpointslices', status: 500 });
    const quick = tempFile('playbook.yaml', 'gates: { settle: 0s }\n');
    const found = await verify(20, '--node', nodeName(0), '--playbook', quick);
    expect(found.verdict).toBe('inconclusive');
    expect(said(found)).toMatch(/kernel-rules inconclusive .*EndpointSlices of the API cannot be followed/);
  });
});

describe('for a while', () => {
  const quick = tempFile('playbook.yaml', 'gates: { settle: 1s }\n');
  const watchers = () => bed.sim.store.list('Pod', NAMESPACE).map(pod => pod.metadata.uid);
  /** The first of a few rounds that is such. */
  async function until(rounds: Rounds, is: (found: Verification) => boolean): Promise<Verification> {
    for (let n = 0; n < 6; n++) {
      const found = await rounds.next();
      if (is(found)) return found;
    }
    throw new Error('no such round');
  }

  it('it tells each round, finds what comes and goes, and keeps its watchers meanwhile', {
    timeout: TIMEOUT,
  }, async () => {
    const rounds = new Rounds(bed.start('verify', '--for', '1h', '--format', 'json', '--playbook', quick));
    expect(await rounds.next()).toMatchObject({ round: 1, verdict: 'pass' });
    const pods = watchers();
    expect(pods).toHaveLength(6);
    const { key } = victim();
    const clear = bed.sim.fault.silentService(nodeName(1), key);
    const found = await until(rounds, f => f.verdict === 'fail');
    expect(found.round).toBeLessThanOrEqual(4);
    expect(found.broken).toEqual([{ service: key, nodes: [nodeName(1)] }]);
    clear();
    await until(rounds, f => f.verdict === 'pass');
    expect(watchers()).toEqual(pods);
    expect((await rounds.end()).code).toBe(23);
    expect(differences(before, await bed.objects())).toEqual([]);
    expect(bed.sim.store.list('Pod', NAMESPACE)).toEqual([]);
  });

  it('it replaces watchers that were taken away', { timeout: TIMEOUT }, async () => {
    const impatient = tempFile('playbook.yaml', 'gates: { settle: 1s, convergence: 15s }\n');
    const rounds = new Rounds(bed.start('verify', '--for', '1h', '--format', 'json', '--playbook', impatient));
    expect((await rounds.next()).verdict).toBe('pass');
    for (const { metadata } of bed.sim.store.list('Pod', NAMESPACE))
      if (metadata.name.endsWith(nodeName(2)))
        bed.sim.registry.delete({ kind: 'Pod', namespace: NAMESPACE, name: metadata.name }, {});
    const blind = await until(rounds, f => f.verdict !== 'pass');
    expect(verdicts(blind)).toEqual({ [nodeName(0)]: 'pass', [nodeName(1)]: 'pass', [nodeName(2)]: 'inconclusive' });
    await until(rounds, f => f.verdict === 'pass');
    await rounds.end();
    expect(bed.sim.store.list('Pod', NAMESPACE)).toEqual([]);
  });

  it('it ends by itself, and says whether all rounds were well', { timeout: TIMEOUT }, async () => {
    const well = await bed.proxyctl('verify', '--for', '1s', '--playbook', quick);
    expect(well.code, well.stderr).toBe(0);
    expect(well.stdout).toMatch(/ round 1: verified: 3 nodes: 3 well/);
    const key = silence(nodeName(1));
    const bad = await bed.proxyctl('verify', '--for', '1s', '--playbook', quick);
    expect(bad.code).toBe(20);
    expect(bad.stdout).toContain(`  ${key} on ${nodeName(1)}`);
  });

  it.each(['soon', '0s', '-1'])('%s is no duration', async given => {
    const result = await bed.proxyctl('verify', '--for', given);
    expect(result.code).toBe(64);
    expect(result.stderr).toContain('--for takes a duration such as 30s, 5m or 1h30m');
  });
});

describe('the command', () => {
  it('takes its pods away when it is stopped', { timeout: TIMEOUT }, async () => {
    const running = bed.start('verify');
    await expect.poll(() => bed.sim.store.list('Pod', NAMESPACE).length, { timeout: 30_000 }).toBe(6);
    running.signal('SIGINT');
    const result = await running.result;
    expect(result.code, result.stderr).toBe(23);
    expect(result.stderr).toContain('removing the watchers');
    expect(differences(before, await bed.objects())).toEqual([]);
    expect(bed.sim.store.list('Pod', NAMESPACE)).toEqual([]);
  });

  it('is refused while a run is under way', { timeout: TIMEOUT }, async () => {
    const running = bed.start('migrate', '--to', 'nftables', '--batch', '10', '--yes');
    await expect.poll(() => bed.sim.store.list('Lease', NAMESPACE).length, { timeout: 30_000 }).toBe(1);
    const result = await bed.proxyctl('verify');
    expect(result.code, result.stderr).toBe(25);
    expect((await running.result).code).toBe(0);
  });

  it.each([
    [['--node', 'nobody'], /no node nobody in this cluster; there are /],
    [['--format', 'xml'], /Allowed choices are text, json/],
  ])('knows wrong usage: %j', async (args, says) => {
    const result = await bed.proxyctl('verify', ...args);
    expect(result.code).toBe(64);
    expect(result.stderr).toMatch(says);
    expect(differences(before, await bed.objects())).toEqual([]);
  });
});

/** What iptables mode leaves in filter for a NodePort whose Service had no endpoints when ipvs took over. */
function freezeRefusal(of: EmbeddedTestbed, node: string, { metadata, spec }: KubeObject): void {
  const { iptables } = of.sim.node(node).kernel;
  const chain = 'KUBE-EXTERNAL-SERVICES';
  const name = `${metadata.namespace}/${metadata.name}`;
  const [{ nodePort }] = spec.ports;
  const refusal = `-p tcp -m comment --comment "${name} has no endpoints" -m addrtype --dst-type LOCAL -m tcp --dport ${nodePort} -j REJECT --reject-with icmp-port-unreachable`;
  iptables.IPv4.setChain('filter', chain, [refusal]);
  const portals = `-m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j ${chain}`;
  iptables.IPv4.setChain('filter', 'INPUT', [...(iptables.IPv4.chain('filter', 'INPUT') ?? []), portals]);
}

describe('a frozen rule of iptables under ipvs', () => {
  it('is told by the NodePort that it kills, too', { timeout: TIMEOUT }, async () => {
    const ipvs = await embeddedTestbed('ipvs', 62);
    try {
      const { service, node } = nodePortAndNode(ipvs);
      freezeRefusal(ipvs, node, service);
      const result = await ipvs.proxyctl('verify', '--format', 'json');
      expect(result.code, result.stderr).toBe(20);
      const found: Verification = JSON.parse(result.stdout);
      const name = `${service.metadata.namespace}/${service.metadata.name}`;
      expect(found.broken).toEqual([{ service: name, nodes: [node] }]);
      expect(said(found)).toMatch(new RegExp(`service-probes error service ${name}: .*@node-port:.*: refused`));
      expect(said(found)).toMatch(new RegExp(`residue error node ${node}: iptables is left behind`));
    } finally {
      await ipvs.close();
    }
  });
});

/** A TCP NodePort, and a node of the workers that has as many of its endpoints as another one. */
function nodePortAndNode({ sim }: EmbeddedTestbed): { service: KubeObject; node: string } {
  const [, first, second] = sim.nodes.map(n => n.name);
  const nearness = (service: KubeObject, node: string | undefined) =>
    sim.store
      .list('EndpointSlice', service.metadata.namespace)
      .filter(s => s.metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name)
      .flatMap(s => s.endpoints)
      .filter(e => e.nodeName === node).length;
  for (const service of sim.store.list('Service')) {
    const [port] = service.spec.ports ?? [];
    if (!port?.nodePort || port.protocol !== 'TCP' || service.spec.externalTrafficPolicy === 'Local') continue;
    const [a, b] = [nearness(service, first), nearness(service, second)];
    if (a + b > 0) return { service, node: (a >= b ? first : second) ?? '' };
  }
  throw new Error('no NodePort with endpoints on workers');
}
