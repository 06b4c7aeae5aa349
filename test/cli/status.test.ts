// `proxyctl status` as a process, on the embedded cluster: with and without a run, and with what should not be there.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Kind, KubeObject } from '../../src/core/cluster.ts';
import { LABEL_MODE, LABEL_PART, LABEL_RUN, NAMESPACE } from '../../src/core/names.ts';
import type { RunStatus } from '../../src/core/status.ts';
import { type EmbeddedTestbed, embeddedTestbed } from '../scenarios/embedded-testbed.ts';

const TIMEOUT = 120_000;
let bed: EmbeddedTestbed;
beforeEach(async () => {
  bed = await embeddedTestbed('iptables', 51);
});
afterEach(() => bed.close());

async function status(code: number, ...args: string[]): Promise<RunStatus> {
  const result = await bed.proxyctl('status', '--format', 'json', ...args);
  expect(result.code, `${result.stdout}\n${result.stderr}`).toBe(code);
  return JSON.parse(result.stdout);
}
const codes = (made: RunStatus) =>
  Object.fromEntries(made.nodes.filter(n => n.notes.length > 0).map(n => [n.name, n.notes.map(note => note.code)]));
const create = (object: KubeObject) => bed.sim.registry.create(object, object.kind as Kind, object.metadata.namespace);
const names = () => bed.sim.nodes.map(node => node.name);

function sayNftables(): void {
  bed.sim.store.mutate('ConfigMap', 'kube-system', 'kube-proxy', copy => {
    copy.data['config.conf'] = copy.data['config.conf'].replace('mode: "iptables"', 'mode: "nftables"');
  });
}

it('a look that is stopped takes away what it put on nodes', { timeout: TIMEOUT }, async () => {
  const running = bed.start('status', '--look');
  await expect.poll(() => bed.sim.store.list('Pod', NAMESPACE).length, { timeout: 30_000 }).toBeGreaterThan(0);
  running.signal('SIGINT');
  const result = await running.result;
  expect(result.code, result.stderr).toBe(23);
  expect(result.stderr).toContain('removing the watchers');
  expect(bed.sim.store.list('Namespace').map(n => n.metadata.name)).not.toContain(NAMESPACE);
});

describe('without a run', () => {
  it('shows every node and finds nothing', { timeout: TIMEOUT }, async () => {
    const made = await status(0);
    expect(made).toMatchObject({ kind: 'RunStatus', version: 1, shared: 'iptables', unfit: [] });
    expect(made.nodes.map(n => [n.name, n.planned, n.mode, n.nextStart])).toEqual(
      names()
        .toSorted()
        .map(name => [name, 'iptables', 'iptables', 'iptables']),
    );
    expect(made.nodes.every(n => Date.parse(n.since ?? '') > 0 && n.kernel === undefined)).toBe(true);
    const text = await bed.proxyctl('status');
    expect(text.stdout).toMatch(/node +planned +effective +since +residue +note\n/);
    expect(text.stdout.match(/iptables +iptables +\d.* not looked at\n/g)).toHaveLength(3);
    expect(text.stderr).toContain('SIMULATED');
  });

  it('names the nodes that the next restart would flip', { timeout: TIMEOUT }, async () => {
    sayNftables();
    const made = await status(20);
    expect(Object.values(codes(made))).toEqual([['latent-flip'], ['latent-flip'], ['latent-flip']]);
    expect(made.unfit).toHaveLength(1);
    expect(made.unfit[0]).toContain('the next start of its kube-proxy takes nftables');
    // And it is true: the one that restarts flips.
    const [name = ''] = names();
    const pod = bed.sim.store
      .list('Pod', 'kube-system')
      .find(p => p.spec.nodeName === name && p.metadata.name.startsWith('kube-proxy'));
    bed.sim.registry.delete({ kind: 'Pod', namespace: 'kube-system', name: pod?.metadata.name ?? '' }, {});
    await expect.poll(() => bed.sim.node(name).proxyMode, { timeout: 10_000 }).toBe('nftables');
    const after = await status(20);
    expect(after.nodes.find(n => n.name === name)).toMatchObject({ mode: 'nftables', notes: [] });
    expect(after.unfit.join('\n')).toMatch(/no run of proxyctl explains it/);
  });

  it('names what an aborted run left', { timeout: TIMEOUT }, async () => {
    const [first = '', second = ''] = names();
    const labels = (part: string) => ({ [LABEL_PART]: part, [LABEL_RUN]: 'r-gone' });
    const metadata = { name: `proxyctl-warm-${first}`, namespace: 'kube-system', labels: labels('warm') };
    create({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: { nodeName: first, containers: [{ name: 'x', image: 'x' }] },
    });
    const map = { name: 'kube-proxy-nftables', namespace: 'kube-system', labels: labels('proxy') };
    create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: map, data: { 'config.conf': 'mode: nftables\n' } });
    bed.sim.store.mutate('Node', undefined, second, copy => {
      copy.metadata.labels = { ...copy.metadata.labels, [LABEL_MODE]: 'iptables' };
    });
    const made = await status(20);
    expect(codes(made)).toEqual({ [first]: ['warm-left'], [second]: ['without-run'] });
    expect(made.unfit.join('\n')).toContain('configmap kube-system/kube-proxy-nftables');
  });

  it('looks into the kernels when asked, and leaves nothing', { timeout: TIMEOUT }, async () => {
    const before = await bed.objects();
    const clean = await status(0, '--look');
    expect(clean.nodes.map(n => n.kernel)).toEqual(Array(3).fill({ modes: ['iptables'], unread: [], residue: [] }));
    expect(clean.nodes.map(n => n.modeSource)).toEqual(Array(3).fill('kube-proxy'));
    const [name = '', mute = ''] = names();
    const { ipvs } = bed.sim.node(name).kernel;
    ipvs.device = new Set(['10.96.0.1']);
    bed.sim.fault.nodeNotReady(mute);
    const made = await status(20, '--look');
    expect(made.nodes.find(n => n.name === name)?.kernel?.residue).toContain('device kube-ipvs0');
    expect(codes(made)).toEqual({ [name]: ['residue'], [mute]: ['mode-unknown', 'not-looked', 'not-ready'] });
    expect([...(await bed.objects()).keys()]).toEqual([...before.keys()]);
    expect(bed.sim.store.list('Namespace').map(n => n.metadata.name)).not.toContain(NAMESPACE);
  });
});

describe('in a run', () => {
  it('that halted: what is done fits, and so does a look; a node that joins does not', {
    timeout: TIMEOUT,
  }, async () => {
    const [, , last = ''] = names();
    bed.sim.fault.noNft(last);
    expect((await bed.proxyctl('migrate', '--to', 'nftables', '--batch', '10', '--yes')).code).toBe(21);
    const halted = await status(0);
    expect(halted.run).toMatchObject({ to: 'nftables', holder: '' });
    const modes = bed.sim.nodes.map(node => [node.name, node.proxyMode]);
    expect(halted.nodes.map(n => [n.name, n.mode])).toEqual(modes.toSorted());
    expect(halted.nodes.every(n => n.planned === n.mode)).toBe(true);
    const looked = await status(0, '--look');
    expect(looked.nodes.every(n => n.kernel?.modes.join() === n.mode)).toBe(true);
    expect(bed.sim.store.list('ConfigMap', NAMESPACE).some(m => m.metadata.name.startsWith('run-'))).toBe(true);

    bed.sim.addNode('late');
    await expect.poll(() => bed.sim.node('late').proxyMode, { timeout: 10_000 }).toBe('iptables');
    const joined = await status(20);
    expect(codes(joined)).toEqual({ late: ['joined'] });
    expect((await bed.proxyctl('status')).stdout).toMatch(/late +iptables +iptables .*joined/);
  });
});
