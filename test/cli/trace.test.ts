// `proxyctl trace` as a process, on the embedded cluster in each mode: what it says is what the node's kernel does.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { KubeObject } from '../../src/core/cluster.ts';
import { MODES, type Mode } from '../../src/core/mode.ts';
import { NAMESPACE } from '../../src/core/names.ts';
import type { ServiceTrace } from '../../src/core/trace.ts';
import { watcherImage } from '../../src/core/watcher-image.ts';
import { runTool } from '../../src/sim/node-tools.ts';
import { type EmbeddedTestbed, embeddedTestbed } from '../scenarios/embedded-testbed.ts';

const { version } = JSON.parse(readFileSync(resolve(import.meta.dirname, '../../package.json'), 'utf8'));
const TIMEOUT = 120_000;
let bed: EmbeddedTestbed;
afterEach(() => bed.close());

async function trace(code: number, ...args: string[]): Promise<ServiceTrace> {
  const result = await bed.proxyctl('trace', '--format', 'json', ...args);
  expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(code);
  return JSON.parse(result.stdout);
}

/** A Service with endpoints and a NodePort, or any with endpoints. */
function someService(wanted: (service: KubeObject) => boolean = () => true): KubeObject {
  const services = bed.sim.store.list('Service', undefined);
  const slices = bed.sim.store.list('EndpointSlice', undefined);
  const ready = (s: KubeObject) =>
    slices.some(
      slice =>
        slice.metadata.namespace === s.metadata.namespace &&
        slice.metadata.labels?.['kubernetes.io/service-name'] === s.metadata.name &&
        slice.endpoints.length > 0,
    );
  const found = services.find(
    s => s.metadata.namespace !== 'kube-system' && s.spec.clusterIP !== 'None' && ready(s) && wanted(s),
  );
  if (!found) throw new Error('no such Service');
  return found;
}
const nameOf = ({ metadata }: KubeObject) => `${metadata.namespace}/${metadata.name}`;
const program = (node: string, name: string, ...args: string[]) =>
  runTool(bed.sim.node(node).kernel, name, args).stdout;

/** Everything on the node that could have the name of a chain, a set or a server in it. */
const kernelText = (node: string, mode: Mode) =>
  ({
    iptables: () => program(node, 'iptables-nft-save'),
    nftables: () => program(node, 'nft', '-j', 'list', 'table', 'ip', 'kube-proxy'),
    ipvs: () =>
      `${program(node, 'iptables-nft-save')}${program(node, 'ipset', 'save')}${program(node, 'ip', '-o', 'addr', 'show', 'dev', 'kube-ipvs0')}`,
  })[mode]();

it('says what to do where the nodes do not have the watcher’s image', { timeout: TIMEOUT }, async () => {
  bed = await embeddedTestbed('iptables', 72, 2);
  bed.sim.fault.missingImages.add(watcherImage(version));
  const { code, stdout } = await bed.proxyctl('trace', nameOf(someService()));
  expect(code, stdout).toBe(20);
  expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(
    /ErrImageNeverPull; load the archive of 'npm run image' .*--watcher-image/,
  );
});

describe.each(MODES)('in %s mode', mode => {
  it('names what is really there, and what to type', { timeout: TIMEOUT }, async () => {
    bed = await embeddedTestbed(mode, 71);
    const before = await bed.objects();
    const service = someService(s => s.spec.type === 'NodePort' || s.spec.type === 'LoadBalancer');
    const [first = ''] = bed.sim.nodes.map(n => n.name).toSorted();
    const made = await trace(0, nameOf(service));
    expect(made).toMatchObject({
      kind: 'ServiceTrace',
      version: 1,
      service: nameOf(service),
      wrong: [],
      verdict: 'pass',
    });
    expect(made.nodes.map(n => [n.name, n.mode])).toEqual([[first, mode]]);
    const frontends = made.nodes[0]?.frontends ?? [];
    expect(frontends.map(f => f.kind)).toEqual(expect.arrayContaining(['ClusterIP', 'NodePort']));
    const kernel = kernelText(first, mode);
    for (const { key, paths, expected, commands } of frontends) {
      expect(
        paths.map(p => p.client),
        key,
      ).toEqual(['pod', 'node', 'outside']);
      const pod = paths[0];
      expect(pod?.ends.map(e => e.address).toSorted(), key).toEqual(expected?.fromCluster ?? expected?.endpoints);
      const named = paths.flatMap(p => p.hops).filter(h => h.kind !== 'server');
      expect(named.filter(h => !kernel.includes(h.name))).toEqual([]);
      expect(commands.length, key).toBeGreaterThan(1);
    }
    const text = await bed.proxyctl('trace', nameOf(service));
    expect(text.stdout).toContain(`On the node (${mode} mode):`);
    expect(text.stdout).toMatch(
      { iptables: / KUBE-SVC-/, ipvs: /ipvsadm -L -n -t /, nftables: /nft list chain ip / }[mode],
    );
    expect([...(await bed.objects()).keys()]).toEqual([...before.keys()]);
    expect(bed.sim.store.list('Namespace').map(n => n.metadata.name)).not.toContain(NAMESPACE);
  });
});

/** The node flips at its next restart, as somebody's edit of the shared configuration does it. */
async function flipStock(name: string): Promise<void> {
  bed.sim.store.mutate('ConfigMap', 'kube-system', 'kube-proxy', copy => {
    copy.data['config.conf'] = copy.data['config.conf'].replace('mode: "iptables"', 'mode: "nftables"');
  });
  const pod = bed.sim.store
    .list('Pod', 'kube-system')
    .find(p => p.spec.nodeName === name && p.metadata.name.startsWith('kube-proxy'));
  bed.sim.registry.delete({ kind: 'Pod', namespace: 'kube-system', name: pod?.metadata.name ?? '' }, {});
  await expect.poll(() => bed.sim.node(name).proxyMode, { timeout: 20_000 }).toBe('nftables');
}

describe('of a cluster in two modes', () => {
  it('looks at a node in each, and teaches both commands side by side', { timeout: TIMEOUT }, async () => {
    bed = await embeddedTestbed('iptables', 72);
    const service = nameOf(someService());
    const [, flipped = ''] = bed.sim.nodes.map(n => n.name);
    await flipStock(flipped);
    const both = await trace(0, service);
    expect(both.nodes.map(n => n.mode)).toEqual(['iptables', 'nftables']);
    const [frontend] = both.nodes.find(n => n.mode === 'nftables')?.frontends ?? [];
    expect(frontend?.commands[0]).toMatch(/^nft get element ip kube-proxy service-ips '\{ /);
    expect(frontend?.elsewhere.map(e => e.mode)).toEqual(['iptables']);
    expect(frontend?.elsewhere[0]?.commands[0]).toMatch(/^iptables-save -t nat \| grep /);
    const one = await bed.proxyctl('trace', service, '--node', flipped);
    expect(one.stdout).toContain('(asked for)');
    expect(one.stdout).toMatch(/In iptables mode you would type:\n {4}iptables-save -t nat/);
  });
});

describe('what is not as it should be', () => {
  it('is said of the very frontend, or of the node that cannot be looked at', { timeout: TIMEOUT }, async () => {
    bed = await embeddedTestbed('nftables', 73);
    const service = someService();
    const [first = '', , mute = ''] = bed.sim.nodes.map(n => n.name).toSorted();
    const mend = bed.sim.fault.silentService(first, nameOf(service), ['nftables']);
    const made = await trace(20, nameOf(service), '--node', first);
    expect(made.verdict).toBe('fail');
    expect(made.nodes[0]?.frontends[0]).toMatchObject({ kind: 'ClusterIP', flaw: { difference: 'missing' } });
    expect(made.nodes[0]?.frontends[0]?.paths[0]).toMatchObject({ outcome: 'reject', endpoints: 0 });
    expect(made.wrong[0]).toMatch(new RegExp(`^node ${first}: ${nameOf(service)}:.* at ClusterIP 10.* has no rule$`));
    mend();
    bed.sim.fault.nodeNotReady(mute);
    const unseen = await trace(20, nameOf(service), '--node', mute);
    expect(unseen.verdict).toBe('inconclusive');
    expect(unseen.wrong).toEqual([`node ${mute}: could not be looked at: it is not Ready`]);
  });

  it('is one line where nothing is to be looked at', { timeout: TIMEOUT }, async () => {
    bed = await embeddedTestbed('iptables', 74);
    const service = someService();
    const complaint = async (code: number, ...args: string[]) => {
      const result = await bed.proxyctl('trace', ...args);
      expect(result.code, result.stderr).toBe(code);
      expect(result.stdout).toBe('');
      return result.stderr
        .split('\n')
        .filter(line => line.startsWith('proxyctl: '))
        .join();
    };
    expect(await complaint(64, 'shop/nobody')).toMatch(/no Service nobody in namespace shop; /);
    expect(await complaint(64, service.metadata.name)).toMatch(/in namespace default/);
    expect(await complaint(64, nameOf(service), '--node', 'moon')).toMatch(/no node moon in this cluster; there are /);
    expect(await complaint(64, `${nameOf(service)}:1`)).toMatch(/has no port 1; it has \d+/);
    const { namespace } = service.metadata;
    const headless = { type: 'ClusterIP', clusterIP: 'None', clusterIPs: ['None'], ports: [{ port: 80 }] };
    const metadata = { name: 'headless', namespace: namespace ?? '' };
    bed.sim.registry.create({ apiVersion: 'v1', kind: 'Service', metadata, spec: headless }, 'Service', namespace);
    const unserved = await trace(0, 'headless', '-n', namespace ?? '');
    expect(unserved).toMatchObject({ nodes: [], unserved: expect.stringContaining('headless'), verdict: 'pass' });
  });
});
