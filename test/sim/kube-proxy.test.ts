// Two kinds of switch, what they leave behind, and what a node says about itself.
import { afterEach, describe, expect, it } from 'vitest';
import type { Mode } from '../../src/core/mode.ts';
import { parseObservation, type SweepSample } from '../../src/core/observation.ts';
import { proxyAddresses } from '../../src/core/proxy-address.ts';
import type { RunWatcher, Sim, SimOptions } from '../../src/sim/sim.ts';
import { sweep } from '../../src/watcher/sweep.ts';
import { ask, get, KUBE_SYSTEM, PROXY, proxyPods, restartProxy, setMode, smallSim, until } from './bench.ts';

let sim: Sim;
afterEach(() => sim.close());
const start = async (options: SimOptions = {}) => {
  sim = await smallSim(options);
};
const kernel = () => sim.node('node-1').kernel;
const failedOn = (node: string) => sim.traffic.totals().byNode.get(node)?.failed ?? 0;

function watcherPod(name: string, more: object = {}): object {
  const container = { name: 'c', image: 'example.com/proxyctl/watcher:1', ...more };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { nodeName: 'node-1', hostNetwork: true, restartPolicy: 'Never', containers: [container] },
  };
}

const answers = (port: number) => sim.node('node-1').at({ address: '127.0.0.1', port }) !== undefined;

/** A second kube-proxy on node-1: another configuration, PATH shadowed. */
async function warm(mode: Mode, shadowed: readonly string[]): Promise<void> {
  const { body } = await get(sim, `${KUBE_SYSTEM}/configmaps/kube-proxy`);
  const config = body.data['config.conf']
    .replace(/^mode: .*$/m, `mode: ${mode}`)
    .replace(/^metricsBindAddress: .*$/m, 'metricsBindAddress: 127.0.0.1:10349')
    .replace(/^healthzBindAddress: .*$/m, 'healthzBindAddress: 127.0.0.1:10356');
  const data = { 'config.conf': config };
  const map = (name: string, given: object) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: given,
  });
  await ask(sim, 'POST', `${KUBE_SYSTEM}/configmaps`, map(`warm-${mode}`, data));
  await ask(
    sim,
    'POST',
    `${KUBE_SYSTEM}/configmaps`,
    map(`shadow-${mode}`, Object.fromEntries(shadowed.map(tool => [tool, '#!/none\n']))),
  );
  const { spec } = (await get(sim, PROXY)).body.spec.template;
  spec.volumes = [
    { name: 'kube-proxy', configMap: { name: `warm-${mode}` } },
    { name: 'shadow', configMap: { name: `shadow-${mode}` } },
  ];
  const [container] = spec.containers;
  container.volumeMounts = [
    { name: 'kube-proxy', mountPath: '/var/lib/kube-proxy' },
    { name: 'shadow', mountPath: '/shadow' },
  ];
  container.env.push({ name: 'PATH', value: '/shadow:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' });
  await ask(sim, 'POST', `${KUBE_SYSTEM}/pods`, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'warm' },
    spec: { ...spec, nodeName: 'node-1' },
  });
}

const TO_NFTABLES = ['iptables', 'iptables-save', 'iptables-restore', 'ipset', 'modprobe'];
/** The main kube-proxy of node-1 has had its first sync in a mode. */
const serves = (mode: Mode) =>
  until(mode, () => [...sim.node('node-1').processes].some(p => p.managed && p.mode === mode && p.synced));

async function stockSwitch(to: Mode): Promise<void> {
  await setMode(sim, to);
  await restartProxy(sim, 'node-1');
  await serves(to);
}

describe('the stock switch', () => {
  it('across the nftables border leaves the node without rules for a while', async () => {
    await start();
    sim.traffic.start({ clients: 2, rate: 400, keepMs: 60_000 });
    await until('traffic', () => sim.traffic.totals().attempted > 50);
    expect(failedOn('node-1')).toBe(0);
    await setMode(sim, 'nftables');
    await restartProxy(sim, 'node-1');
    await until('the gap', () => kernel().modes().length === 0);
    await until('failures', () => failedOn('node-1') > 0);
    await until('the new rules', () => kernel().modes().join() === 'nftables');
    const { byNode, kept } = sim.traffic.totals();
    expect(byNode.get('node-2')?.failed).toBe(0);
    // What conntrack translates goes on.
    expect(kept.broken).toBe(0);
  });

  it('from ipvs to nftables breaks kept connections', async () => {
    await start({ mode: 'ipvs' });
    sim.traffic.start({ clients: 3, rate: 100, keepMs: 60_000 });
    await until('kept connections', () => sim.traffic.totals().kept.open === 9);
    await stockSwitch('nftables');
    await until('them to be found broken', () => sim.traffic.totals().kept.broken > 0);
    expect(kernel().modes()).toEqual(['nftables']);
    // The IPv6 names are unknown to the cleanup.
    expect([...kernel().ipvs.sets.keys()].every(set => set.startsWith('KUBE-6-'))).toBe(true);
    expect(kernel().ipvs.sets.size).toBe(17);
  });

  it('without nft ends with no rules at all, again and again', async () => {
    await start();
    sim.fault.noNft('node-1');
    await setMode(sim, 'nftables');
    await restartProxy(sim, 'node-1');
    const pod = await until('restarts', async () =>
      (await proxyPods(sim, 'node-1')).find(p => p.status.containerStatuses?.[0].restartCount > 0),
    );
    expect(kernel().modes()).toEqual([]);
    const { body } = await get(sim, `${KUBE_SYSTEM}/pods/${pod.metadata.name}/log?previous=true`);
    expect(body).toContain('could not run nftables command');
  });

  it('keeps running in the old mode when only the ConfigMap changes', async () => {
    await start();
    await setMode(sim, 'nftables');
    await restartProxy(sim, 'node-2');
    await until('node-2', () => sim.node('node-2').proxyMode === 'nftables');
    expect(sim.node('node-1').proxyMode).toBe('iptables');
  });
});

describe('a warm kube-proxy', () => {
  it.each([
    ['iptables', 'nftables', TO_NFTABLES],
    ['nftables', 'iptables', ['nft']],
    ['ipvs', 'nftables', TO_NFTABLES],
    ['iptables', 'ipvs', ['nft']],
  ] as const)('from %s to %s loses nothing', async (from, to, shadowed) => {
    await start({ mode: from });
    sim.traffic.start({ clients: 2, rate: 300, keepMs: 60_000 });
    await until('traffic', () => sim.traffic.totals().attempted > 20);
    await warm(to, shadowed);
    await until('its rules', () => kernel().modes().includes(to));
    await until('the ports of both', () => answers(10349) && answers(10249));
    // The old one goes, the node is handed over, the warm one goes.
    await setMode(sim, to);
    await restartProxy(sim, 'node-1');
    await serves(to);
    await ask(sim, 'DELETE', `${KUBE_SYSTEM}/pods/warm`);
    await until('the warm one to go', () => sim.node('node-1').processes.size === 1);
    const before = sim.traffic.totals().attempted;
    await until('more traffic', () => sim.traffic.totals().attempted > before + 20);
    expect(failedOn('node-1')).toBe(0);
    expect(kernel().modes()).toContain(to);
  });

  it('does nothing to the node outside its network', async () => {
    await start();
    await setMode(sim, 'nftables');
    const { spec } = (await get(sim, PROXY)).body.spec.template;
    await ask(sim, 'POST', `${KUBE_SYSTEM}/pods`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'apart' },
      spec: { ...spec, hostNetwork: false, nodeName: 'node-1' },
    });
    await until('its first sync', async () =>
      String((await get(sim, `${KUBE_SYSTEM}/pods/apart/log`)).body).includes('Caches are synced'),
    );
    expect(kernel().modes()).toEqual(['iptables']);
  });
});

describe('an old iptables kube-proxy', () => {
  it('brings its rules back when they vanish', async () => {
    await start();
    kernel().iptables.IPv4.reset();
    expect(kernel().modes()).toEqual([]);
    await until('its rules', () => kernel().modes().join() === 'iptables');
  });
});

describe('between iptables and ipvs', () => {
  it.each([
    ['iptables', 'ipvs'],
    ['ipvs', 'iptables'],
  ] as const)('%s leaves its rules behind, and the shipped sweeper removes them', async (from, to) => {
    let samples: SweepSample[] = [];
    const runWatcher: RunWatcher = async (_args, io, _files, signal) => {
      const listen = {
        ...io,
        print: (line: string) => samples.push(...[parseObservation(line)].filter(o => o?.kind === 'sweep')),
      };
      const options = {
        left: from,
        now: to,
        drainSeconds: 0,
        waitSeconds: 2,
        serving: proxyAddresses({}),
      };
      return (await sweep(listen, options, signal)) ? 0 : 1;
    };
    await start({ mode: from, runWatcher });
    await stockSwitch(to);
    expect(kernel().modes()).toEqual(['iptables', 'ipvs'].filter(mode => mode === to || from === 'ipvs'));
    const residue = () =>
      from === 'ipvs'
        ? kernel().ipvs.servers.size
        : [...kernel().iptables.IPv4.chains('nat').keys()].filter(c => c.startsWith('KUBE-SVC-')).length;
    expect(residue()).toBeGreaterThan(0);
    await ask(sim, 'POST', '/api/v1/namespaces/default/pods', watcherPod('sweep'));
    const pod = await until('the sweeper', async () => {
      const { body } = await get(sim, '/api/v1/namespaces/default/pods/sweep');
      return /Succeeded|Failed/.test(body.status?.phase) ? body : undefined;
    });
    expect(samples.at(-1)).toMatchObject({ phase: 'done', remaining: [] });
    expect(pod.status.phase).toBe('Succeeded');
    expect(residue()).toBe(0);
    expect(kernel().modes()).toEqual([to]);
    samples = [];
  });
});
