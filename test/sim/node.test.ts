// What a node says about itself, follows, and what may go wrong with it.
import { afterEach, describe, expect, it } from 'vitest';
import { MODES, type Mode } from '../../src/core/mode.ts';
import type { NodeIo } from '../../src/core/node-io.ts';
import { type HostPort, readHostPort } from '../../src/core/proxy-address.ts';
import type { RunWatcher, Sim, SimOptions } from '../../src/sim/sim.ts';
import { ask, type Body, restartProxy, setMode, smallSim, until } from './bench.ts';

let sim: Sim;
afterEach(() => sim.close());
const start = async (options: SimOptions = {}) => {
  sim = await smallSim(options);
};
const kernel = () => sim.node('node-1').kernel;
const METRICS = { address: '127.0.0.1', port: 10249 };
const HEALTHZ = { address: '127.0.0.1', port: 10256 };
const answers = (at: HostPort) => sim.node('node-1').at(at);

/** A cluster, and node-1 as a watcher on its host network has it. */
async function hostIo(mode: Mode, options: SimOptions = {}): Promise<NodeIo> {
  let io: NodeIo | undefined;
  const runWatcher: RunWatcher = (_args, given, _files, signal) => {
    io = given;
    return new Promise(resolve => signal.addEventListener('abort', () => resolve(0)));
  };
  await start({ ...options, runWatcher, mode });
  const containers = [{ name: 'c', image: 'example.com/proxyctl/watcher:1' }];
  const spec = { nodeName: 'node-1', hostNetwork: true, containers };
  await ask(sim, 'POST', '/api/v1/namespaces/default/pods', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'look' },
    spec,
  });
  return until('the watcher', () => io);
}

describe('what a node says about itself', () => {
  it.each(MODES)('in %s mode', async mode => {
    const io = await hostIo(mode);
    expect(await io.httpGet(METRICS, '/proxyMode', 100)).toEqual({ status: 200, body: mode });
    const { body } = await io.httpGet(METRICS, '/metrics', 100);
    for (const family of ['IPv4', 'IPv6']) {
      expect(body).toMatch(
        new RegExp(
          `^kubeproxy_sync_proxy_rules_last_timestamp_seconds\\{ip_family="${family}"\\} \\d\\.\\d+e\\+09$`,
          'm',
        ),
      );
    }
    expect((await io.httpGet(HEALTHZ, '/healthz', 100)).status).toBe(200);
    await expect(io.httpGet({ ...METRICS, port: 10349 }, '/proxyMode', 100)).rejects.toThrow('ECONNREFUSED');
    expect(Number(await io.readFile('/proc/sys/net/netfilter/nf_conntrack_max'))).toBe(131_072);
    const [names = '', first = ''] = (await io.readFile('/proc/net/stat/nf_conntrack')).split('\n');
    expect(first.trim().split(/\s+/).length).toBe(names.trim().split(/\s+/).length);
    const nft = await io.run('nft', ['-j', 'list', 'table', 'ip', 'kube-proxy']);
    expect(nft.code).toBe(mode === 'nftables' ? 0 : 1);
    const device = await io.run('ip', ['-o', 'addr', 'show', 'dev', 'kube-ipvs0']);
    expect(device.code).toBe(mode === 'ipvs' ? 0 : 1);
    expect((await io.run('nothing', [])).code).toBe(127);
  });

  it.each([
    [{ bindAddress: '::' }, '[::1]:10249', '127.0.0.1:10249', '127.0.0.1:10256'],
    [{ metricsBindAddress: '0.0.0.0:9249' }, '127.0.0.1:9249', '127.0.0.1:10249', '[::1]:10256'],
    [{ metricsBindAddress: '192.168.8.11' }, '192.168.8.11:10249', '127.0.0.1:10249', '[::1]:10256'],
  ])('where it is told to, with its own defaults: %j', async (bindings, metrics, refused, healthz) => {
    const io = await hostIo('iptables', { bindings });
    const get = (at: string, path: string) => io.httpGet(readHostPort(at) ?? METRICS, path, 100);
    expect((await get(metrics, '/proxyMode')).body).toBe('iptables');
    await expect(get(refused, '/proxyMode')).rejects.toThrow('ECONNREFUSED');
    expect((await get(healthz, '/healthz')).status).toBe(200);
  });

  it('has no metric of a sync before the first one', async () => {
    await start();
    sim.fault.freezeProxy('node-1');
    await restartProxy(sim, 'node-1');
    await until(
      'the new process',
      () => answers(METRICS) && answers(HEALTHZ) && [...sim.node('node-1').processes].every(p => !p.synced),
    );
    const answer = answers(METRICS)?.('/metrics');
    expect(answer?.body).toContain('process_start_time_seconds');
    expect(answer?.body).not.toContain('last_timestamp_seconds');
    expect(answers(HEALTHZ)?.('/healthz').status).toBe(200);
  });

  it('counts syncs that fail', async () => {
    await start({ mode: 'nftables' });
    expect(answers(METRICS)?.('/metrics').body).not.toContain('nftables_sync_failures_total');
    sim.fault.failSync('node-1');
    await ask(sim, 'DELETE', '/api/v1/namespaces/shop/services/api');
    await until('the failure', () =>
      /nftables_sync_failures_total\{ip_family="IPv4"\} \d/.test(answers(METRICS)?.('/metrics').body ?? ''),
    );
    expect(kernel().nft.ip?.services.size).toBeGreaterThan(sim.node('node-2').kernel.nft.ip?.services.size ?? 0);
  });

  it.each(MODES)('follows endpoints in %s mode', async mode => {
    const io = await hostIo(mode);
    const { clusterIP } = sim.store.get('Service', 'shop', 'api')?.spec ?? {};
    const target = { address: clusterIP, port: 80, protocol: 'TCP' } as const;
    const dialled = async () => (await io.dial(target, 50)).outcome;
    expect(await dialled()).toBe('ok');
    const pods: Body[] = sim.store.list('Pod', 'shop').filter(p => p.metadata.labels?.app === 'api');
    for (const pod of pods) await ask(sim, 'DELETE', `/api/v1/namespaces/shop/pods/${pod.metadata.name}`);
    await until('a refusal', async () => (await dialled()) === 'refused');
  });
});

describe('a Service that silently loses its rules', () => {
  it.each(MODES)('in %s mode stays lost through syncs, until it is cleared', async mode => {
    const io = await hostIo(mode);
    const address = sim.store.get('Service', 'shop', 'api')?.spec.clusterIP;
    const dialled = async () => (await io.dial({ address, port: 80, protocol: 'TCP' }, 50)).outcome;
    const clear = sim.fault.silentService('node-1', 'shop/api');
    expect(await dialled()).not.toBe('ok');
    await ask(sim, 'DELETE', '/api/v1/namespaces/shop/services/web');
    await until('the sync', () => answers(METRICS)?.('/metrics').body.includes('service_changes_pending 0'));
    expect(await dialled()).not.toBe('ok');
    clear();
    await until('its rules', async () => (await dialled()) === 'ok');
  });

  it('is healed by a kube-proxy of another mode', async () => {
    const io = await hostIo('nftables');
    const address = sim.store.get('Service', 'shop', 'api')?.spec.clusterIP;
    sim.fault.silentService('node-1', 'shop/api');
    await setMode(sim, 'iptables');
    await restartProxy(sim, 'node-1');
    await until('the other mode', () => [...sim.node('node-1').processes].some(p => p.mode === 'iptables' && p.synced));
    expect(await io.dial({ address, port: 80, protocol: 'TCP' }, 50)).toEqual({ outcome: 'ok' });
    // Told twice, it is still the fault of the mode that it began in.
    sim.fault.silentService('node-1', 'shop/api');
    expect(await io.dial({ address, port: 80, protocol: 'TCP' }, 50)).toEqual({ outcome: 'ok' });
  });
});

describe('the connection table', () => {
  it('grows with traffic, and refuses when it is full', async () => {
    await start();
    const before = kernel().conntrack.count;
    sim.traffic.start({ clients: 1, rate: 300 });
    await until('growth', () => kernel().conntrack.count > before + 10);
    const clear = sim.fault.conntrackFill('node-1', 1);
    expect(kernel().conntrack.count).toBe(131_072);
    await until('drops', () => kernel().conntrack.drop > 0);
    clear();
    expect(kernel().conntrack.count).toBeLessThan(131_072);
  });
});
