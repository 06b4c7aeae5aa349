// Input that is made to hurt: one line, the documented exit code, soon.
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSim } from '../../src/commands/sim-cluster.ts';
import { LABEL_PART, NAMESPACE, PARTS } from '../../src/core/names.ts';
import { startApi, writeKubeconfig } from '../cluster/api-server.ts';
import { runCli, tempFile } from './run-cli.ts';

/** Ten to the ninth, when somebody follows the aliases. */
const ALIASES = [
  'a: &a [x, x, x, x, x, x, x, x, x, x]',
  ...'bcdefghi'.split('').map((name, i) => `${name}: &${name} [${Array(10).fill(`*${'abcdefgh'[i]}`).join(', ')}]`),
].join('\n');
const DEEP = '['.repeat(200_000);
const DEEP_JSON = `${'{"a":'.repeat(200_000)}1${'}'.repeat(200_000)}`;
const SECONDS = 30;

let sim: Awaited<ReturnType<typeof startSim>>;
let kubeconfig: string;
beforeAll(async () => {
  sim = await startSim({ nodes: 2, namespaces: 3, services: 8, mode: 'iptables', seed: 9 });
  kubeconfig = tempFile('kubeconfig', sim.kubeconfig());
});
afterAll(() => sim.close());

async function complaint(code: number, args: readonly string[]): Promise<string> {
  const { seconds, ...result } = await runCli(args);
  expect(result.code, result.stderr.slice(0, 2000)).toBe(code);
  const lines = result.stderr.split('\n').filter(line => line !== '' && !line.startsWith('SIMULATED'));
  expect(lines).toHaveLength(1);
  expect(lines[0]?.length).toBeLessThan(5_000);
  expect(seconds).toBeLessThan(SECONDS);
  return lines[0] ?? '';
}

describe('a kubeconfig', () => {
  it.each([
    ['of aliases', ALIASES, /not plain YAML/],
    ['without a bottom', DEEP, /nested too deeply|:1:\d+:/],
    ['without an end', `a: ${'x'.repeat(9 << 20)}`, /larger than the 8 MB/],
    ['of another prototype', '__proto__: { current-context: evil, clusters: [] }', /no current-context/],
    ['with entries of no shape', 'clusters: { a: 1 }', /clusters is not a list/],
  ])('%s', { timeout: 60_000 }, async (_what, text, message) => {
    expect(await complaint(64, ['--kubeconfig', tempFile('config', text), 'inventory'])).toMatch(message);
  });

  it('that is a device', { timeout: 60_000 }, async () => {
    expect(await complaint(64, ['--kubeconfig', '/dev/zero', 'inventory'])).toMatch(/larger than the 8 MB/);
  });
});

describe('a file', () => {
  it.each([
    ['p.yaml', 'of aliases', ALIASES, /aliases \(\*a\) are not read/],
    ['p.yaml', 'without a bottom', DEEP, /nested too deeply/],
    ['p.json', 'without a bottom', DEEP_JSON, /./],
    ['p.yaml', 'without an end', `title: ${'x'.repeat(2 << 20)}`, /more than the 1 MB/],
    ['p.yaml', 'of another prototype', '__proto__: { to: ipvs }', /__proto__.*is not known/],
    ['p.json', 'of another prototype', '{"__proto__": {"to": "ipvs"}}', /__proto__/],
    ['p.json', 'with a constructor', '{"constructor": {"prototype": {"to": "ipvs"}}}', /constructor.*is not known/],
  ])('%s %s', { timeout: 60_000 }, async (name, _what, text, message) => {
    expect(await complaint(65, ['plan', '--playbook', tempFile(name, text)])).toMatch(message);
  });

  it('i.json of one long string', { timeout: 60_000 }, async () => {
    const text = JSON.stringify({ kind: 'Inventory', version: 1, x: 'y\n'.repeat(10 << 20) });
    expect(await complaint(65, ['plan', '--inventory', tempFile('i.json', text)])).toMatch(/x: is not known/);
  });
});

describe('a cluster', () => {
  const config = () => sim.store.get('ConfigMap', 'kube-system', 'kube-proxy');
  const with_ = async (text: string, run: () => Promise<void>) => {
    const before: string = config()?.data['config.conf'];
    const write = (value: string) =>
      sim.store.mutate('ConfigMap', 'kube-system', 'kube-proxy', map => (map.data['config.conf'] = value));
    write(text);
    try {
      await run();
    } finally {
      write(before);
    }
  };

  it.each([
    ['of aliases', ALIASES],
    ['without a bottom', DEEP],
    ['that is no YAML', 'a: [\n{'],
    ['that is a list', '- 1'],
    ['that is empty', ''],
    ['of another prototype', '__proto__: { mode: ipvs }'],
  ])('whose kube-proxy has a configuration %s can be looked at', { timeout: 120_000 }, async (_what, text) => {
    await with_(text, async () => {
      const at = ['--kubeconfig', kubeconfig];
      expect((await runCli([...at, 'inventory'])).code).toBe(0);
      for (const args of [['plan', '--to', 'nftables'], ['preflight', '--to', 'nftables'], ['status']]) {
        const { code, stderr, seconds } = await runCli([...at, ...args]);
        expect([0, 20], `${args[0]}: ${stderr.slice(0, 500)}`).toContain(code);
        expect(seconds).toBeLessThan(SECONDS);
      }
    });
  });

  it('whose objects have no bottom is told', { timeout: 60_000 }, async () => {
    const api = await startApi();
    const lists = ['/api/v1/nodes', '/api/v1/namespaces', '/api/v1/pods', '/api/v1/services'];
    for (const path of [...lists, '/apis/discovery.k8s.io/v1/endpointslices'])
      api.on(`GET ${path}`, () => ({ json: { items: [] } }));
    const spec = `{"template":${DEEP_JSON}}`;
    const text = `{"items":[{"metadata":{"name":"kube-proxy","namespace":"kube-system"},"spec":${spec}}]}`;
    api.on('GET /apis/apps/v1/namespaces/kube-system/daemonsets', () => ({ text }));
    const args = ['--kubeconfig', writeKubeconfig(api.url), 'inventory'];
    const { code, stderr } = await runCli(args);
    expect(stderr).toMatch(/^proxyctl: the cluster holds data that is nested too deeply to be read$/m);
    expect(code).toBe(69);
  });

  it('whose record of a run has no end is refused', { timeout: 120_000 }, async () => {
    const fresh = await startSim({ nodes: 2, namespaces: 3, services: 8, mode: 'iptables', seed: 11 });
    try {
      const record = { 'record.json.gz': gzipSync(Buffer.alloc(600 << 20)).toString('base64') };
      const labels = { [LABEL_PART]: PARTS.record };
      fresh.registry.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } }, 'Namespace');
      const metadata = { name: 'run-x', namespace: NAMESPACE, labels };
      fresh.registry.create(
        { apiVersion: 'v1', kind: 'ConfigMap', metadata, binaryData: record },
        'ConfigMap',
        NAMESPACE,
      );
      const file = tempFile('kubeconfig', fresh.kubeconfig());
      for (const args of [['status'], ['rollback', '--yes']]) {
        const message = await complaint(24, ['--kubeconfig', file, ...args]);
        expect(message).toContain('ConfigMap proxyctl/run-x is no run record of this version of proxyctl');
      }
    } finally {
      await fresh.close();
    }
  });

  it('whose things are named like methods is planned like any other', { timeout: 120_000 }, async () => {
    const fresh = await startSim({ nodes: 2, namespaces: 3, services: 8, mode: 'iptables', seed: 10 });
    try {
      fresh.addNode('constructor');
      const metadata = { name: 'constructor', namespace: 'constructor' };
      const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'constructor' } };
      const spec = {
        clusterIP: '10.96.200.1',
        ports: [{ port: 80 }],
        externalTrafficPolicy: 'Local',
        type: 'NodePort',
      };
      fresh.apply([namespace, { apiVersion: 'v1', kind: 'Service', metadata, spec }]);
      const file = tempFile('kubeconfig', fresh.kubeconfig());
      for (const args of [['inventory'], ['plan', '--to', 'nftables'], ['preflight', '--to', 'nftables']]) {
        const { code, stderr } = await runCli(['--kubeconfig', file, ...args]);
        expect([0, 20], `${args[0]}: ${stderr.slice(0, 500)}`).toContain(code);
      }
    } finally {
      await fresh.close();
    }
  });
});
