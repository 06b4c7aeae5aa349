// Planted secrets, and every byte that proxyctl writes: to its streams, to its files, into the cluster.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { KubeObject } from '../../src/core/cluster.ts';
import { type EmbeddedTestbed, embeddedTestbed } from '../scenarios/embedded-testbed.ts';
import { runCli, tempFile } from './run-cli.ts';

const TIMEOUT = 400_000;
/** Every planted secret holds this. */
const CANARY = 'c4n4ry';
const LAST_APPLIED = { 'kubectl.kubernetes.io/last-applied-configuration': `{"token":"${CANARY}-annotation"}` };

let bed: EmbeddedTestbed;
/** What was ever written into namespace proxyctl, or onto a node. */
const written: string[] = [];

beforeAll(async () => {
  bed = await embeddedTestbed('iptables', 31);
  const { registry, store } = bed.sim;
  const annotate = (object: KubeObject) => {
    object.metadata.annotations = { ...object.metadata.annotations, ...LAST_APPLIED };
  };
  for (const kind of ['Node', 'Namespace', 'Service', 'Pod', 'ConfigMap', 'DaemonSet'] as const)
    for (const { metadata } of store.list(kind, undefined))
      store.mutate(kind, metadata.namespace, metadata.name, annotate);
  const where = { kind: 'DaemonSet', namespace: 'kube-system', name: 'kube-proxy' } as const;
  const template = store.get(where.kind, where.namespace, where.name)?.spec.template;
  const env = [...template.spec.containers[0].env, { name: 'HTTPS_PROXY', value: `http://u:${CANARY}-env@proxy` }];
  registry.patch(where, 'application/json-patch+json', [
    { op: 'replace', path: '/spec/template/spec/containers/0/env', value: env },
  ]);
  store.mutate('ConfigMap', 'kube-system', 'kube-proxy', map => {
    map.data['extra.conf'] = `token: ${CANARY}-configmap`;
  });
  await vi.waitUntil(() => store.list('Pod', 'kube-system').filter(isProxyWithEnv).length === 3, 20_000);
  store.subscribe(({ object }) => {
    if (object.metadata.namespace === 'proxyctl' || object.metadata.name === 'proxyctl')
      written.push(JSON.stringify(object), ...unpacked(object));
    if (object.kind === 'Node') written.push(JSON.stringify(ourOwn(object)));
  });
});
afterAll(() => bed.close());

function isProxyWithEnv({ spec, status }: KubeObject): boolean {
  return JSON.stringify(spec).includes(CANARY) && status.containerStatuses?.[0]?.ready === true;
}

/** What the run's record says, which is compressed. */
function unpacked({ binaryData = {} }: KubeObject): string[] {
  return Object.values<string>(binaryData).map(value => gunzipSync(Buffer.from(value, 'base64')).toString());
}

function ourOwn({ metadata: { annotations, labels } }: KubeObject): unknown {
  return [annotations, labels].map(all => Object.entries(all ?? {}).filter(([key]) => key.startsWith('proxyctl.dev')));
}

/** Runs commands of one user; gives all that came of it. */
function session(user: object, change: (kubeconfig: string) => string = text => text) {
  const kubeconfig = tempFile(
    'kubeconfig',
    change(bed.sim.kubeconfig().replace('user: {}', `user: ${JSON.stringify(user)}`)),
  );
  const home = dirname(kubeconfig);
  const playbook = join(home, 'playbook.yaml');
  writeFileSync(playbook, 'gates: { soak: 0s, settle: 3s, convergence: 25s, drain: 0s }\n');
  return {
    home,
    async proxyctl(...args: string[]) {
      const more = args[0] === 'migrate' ? ['--playbook', playbook] : [];
      const at = ['--kubeconfig', kubeconfig, '--verbose', ...args, ...more];
      const result = await runCli(at, { XDG_STATE_HOME: home, OUT: home });
      expect(result.stdout, `stdout of ${args.join(' ')}`).not.toContain(CANARY);
      expect(result.stderr, `stderr of ${args.join(' ')}`).not.toContain(CANARY);
      return result;
    },
    files: () =>
      (readdirSync(home, { recursive: true }) as string[]).filter(
        name => name !== 'kubeconfig' && statSync(join(home, name)).isFile(),
      ),
  };
}

function breakService(): () => void {
  const { fault, nodes, store } = bed.sim;
  const service = store.list('Service', undefined).find(s => s.metadata.namespace !== 'kube-system' && s.spec.selector);
  const key = `${service?.metadata.namespace}/${service?.metadata.name}`;
  return fault.silentService(nodes[1]?.name ?? '', key, ['nftables']);
}

describe('a whole run with a halt', () => {
  it('writes none of them anywhere', { timeout: TIMEOUT }, async () => {
    const { proxyctl, home, files } = session({
      token: `${CANARY}-token`,
      'as-user-extra': { key: [`${CANARY}-extra`] },
    });
    const code = async (expected: number, ...args: string[]) => {
      const { code: got, stderr } = await proxyctl(...args);
      expect(got, stderr).toBe(expected);
    };
    const json = ['--format', 'json'];
    for (const args of [['inventory'], ['plan'], ['preflight'], ['status']]) {
      await code(0, ...args);
      await code(0, ...args, ...json);
    }
    await code(0, 'preflight', '--output', 'junit');
    await code(0, 'inventory', '-o', join(home, 'inventory.yaml'));
    await code(0, 'plan', '-o', join(home, 'plan.json'));
    const mend = breakService();
    await code(21, 'migrate', '--to', 'nftables', '--yes', ...json);
    mend();
    await code(0, 'status', ...json);
    await code(0, 'migrate', '--yes');
    await code(0, 'rollback', '--yes');
    expect(files().join('\n')).toMatch(/events\.jsonl/);
    for (const file of files()) expect(readFileSync(join(home, file), 'utf8'), file).not.toContain(CANARY);
    expect(written.filter(text => text.includes('RunRecord')).length).toBeGreaterThan(0);
    expect(written.filter(text => text.includes(CANARY))).toEqual([]);
    // And the environment is back in the template, though the record never had it.
    const template = bed.sim.store.get('DaemonSet', 'kube-system', 'kube-proxy')?.spec.template;
    expect(JSON.stringify(template)).toContain(`${CANARY}-env`);
    expect(statSync(join(home, 'proxyctl', 'runs')).mode & 0o077).toBe(0);
  });
});

const exec = (code: string, more: object = {}) => ({
  exec: { apiVersion: 'client.authentication.k8s.io/v1', command: process.execPath, args: ['-e', code], ...more },
});
const shout = `console.log('${CANARY}-out'); console.error('${CANARY}-err');`;

describe('what fails with a secret in hand says nothing of it', () => {
  it.each([
    ['a plugin that fails', exec(`${shout} process.exit(1)`), 77],
    ['a plugin that answers nonsense', exec(shout, { env: [{ name: 'KEY', value: `${CANARY}-env` }] }), 77],
    ['a plugin that is not there', exec('', { command: 'nowhere', args: [`--token=${CANARY}`] }), 77],
    ['a token file that is none', { tokenFile: '/nonexistent' }, 77],
    ['a token that is no header', { token: `${CANARY}\u0000\n${CANARY}` }, 69],
  ])('%s', async (_what, user, code) => {
    const { proxyctl } = session(user);
    const result = await proxyctl('inventory');
    expect(result.code, result.stderr).toBe(code);
    expect(result.stderr).not.toMatch(/\n\s+at /);
  });

  it.each([
    [
      'a certificate that is none',
      { 'client-certificate-data': btoa(`${CANARY}-cert`), 'client-key-data': btoa(`${CANARY}-key`) },
      (text: string) => text.replace('http://', 'https://'),
      69,
    ],
    [
      'a proxy that is not there',
      { token: `${CANARY}-token` },
      (text: string) => text.replace('server:', `proxy-url: http://u:${CANARY}-proxy@127.0.0.1:1\n      server:`),
      69,
    ],
    ['a password in the address', {}, (text: string) => text.replace('http://', `http://u:${CANARY}-url@`), 0],
    [
      'a kubeconfig cut short',
      { token: `${CANARY}-token` },
      (text: string) => text.replace(/users:\n.*/s, `users:\n- "${CANARY}`),
      64,
    ],
    ['an alias that leads nowhere', {}, (text: string) => `${text}\nother: *${CANARY}\n`, 64],
  ])('%s', async (_what, user, change, code) => {
    const { proxyctl } = session(user, change);
    const result = await proxyctl('inventory');
    expect(result.code, result.stderr).toBe(code);
    expect(result.stderr).not.toMatch(/\n\s+at /);
  });

  it('a kubeconfig that is taken for a playbook', async () => {
    const { proxyctl } = session({ token: `${CANARY}-token` });
    const text = `{"users":[{"user":{"token":"${CANARY}"}}], "x": ${CANARY}}`;
    for (const file of [tempFile('p.json', text), tempFile('p.yaml', text), tempFile('q.yaml', `a: [\n${CANARY}: ]]`)])
      expect((await proxyctl('plan', '--playbook', file)).code).toBe(65);
  });
});
