// Credential plugins, as real programs.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execPath } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { connect } from '../../src/cluster/client.ts';
import { credentialSource } from '../../src/cluster/credentials.ts';
import { loadKubeconfig } from '../../src/cluster/kubeconfig.ts';
import type { Ref } from '../../src/core/cluster.ts';
import { EXIT } from '../../src/core/errors.ts';
import { type ApiServer, connectTo, QUICK, startApi, status, tempDir, writeKubeconfig } from './api-server.ts';

const V1 = 'client.authentication.k8s.io/v1';
const SECRET = 's3cr3t-canary';
const NODE: Ref = { kind: 'Node', name: 'n1' };
const PATH = '/api/v1/nodes/n1';

/** A plugin that is this JavaScript; `run` is the number of its run, from 1, and `answer(status)` answers. */
function plugin(code: string, more: object = {}): { exec: object; runs(): Record<string, unknown>[] } {
  const log = join(tempDir(), 'log');
  const script = `
    const fs = require('node:fs');
    fs.appendFileSync(${JSON.stringify(log)}, process.env.KUBERNETES_EXEC_INFO + '\\n');
    const run = fs.readFileSync(${JSON.stringify(log)}, 'utf8').trim().split('\\n').length;
    const answer = status => console.log(JSON.stringify({ apiVersion: '${V1}', kind: 'ExecCredential', status }));
    ${code}`;
  const exec = { apiVersion: V1, command: execPath, args: ['-e', script], ...more };
  const lines = () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []);
  return { exec, runs: () => lines().map(line => JSON.parse(line)) };
}

function accepting(api: ApiServer, token: () => string): void {
  api.on(`GET ${PATH}`, asked =>
    asked.headers.authorization === `Bearer ${token()}`
      ? { json: { metadata: { name: 'n1' } } }
      : status(401, 'Unauthorized', 'expired'),
  );
}

describe('a plugin runs', () => {
  test('once for many requests at the same time, and once more for many that are refused', async () => {
    const api = await startApi();
    const { exec, runs } = plugin("answer({ token: 'token-' + run });");
    const cluster = await connectTo(api, {}, { exec });
    accepting(api, () => 'token-2');
    await Promise.all(Array.from({ length: 20 }, () => cluster.get(NODE)));
    expect(runs()).toHaveLength(2);
    await cluster.get(NODE);
    expect(runs()).toHaveLength(2);
  });

  test('again when what it gave expires, and not before', async () => {
    const api = await startApi();
    const expiry = 'new Date(Date.now() + 1500).toISOString()';
    const { exec, runs } = plugin(`answer({ token: 'token-' + run, expirationTimestamp: ${expiry} });`);
    const cluster = await connectTo(api, {}, { exec });
    const began = performance.now();
    accepting(api, () => `token-${runs().length}`);
    await cluster.get(NODE);
    if (performance.now() - began < 1000) expect(runs()).toHaveLength(1);
    await sleep(1600);
    await cluster.get(NODE);
    expect(runs()).toHaveLength(2);
    expect(api.to(PATH).filter(asked => asked.headers.authorization === 'Bearer token-1')).toHaveLength(1);
  });

  test('with what it is to know: protocol, whether it may ask, the cluster if it wants that', async () => {
    const api = await startApi();
    const plain = plugin("answer({ token: 't' });");
    await connectTo(api, {}, { exec: plain.exec });
    expect(plain.runs()).toEqual([{ apiVersion: V1, kind: 'ExecCredential', spec: { interactive: false } }]);
    const curious = plugin("answer({ token: 't' });", { provideClusterInfo: true });
    await connectTo(api, {}, { exec: curious.exec });
    expect(curious.runs()[0]).toMatchObject({ spec: { cluster: { server: api.url } } });
  });

  test('with our environment and its own, from beside the kubeconfig', async () => {
    const api = await startApi();
    const env = [{ name: 'OWN', value: 'b' }];
    const kubeconfig = writeKubeconfig(api.url, {
      exec: { apiVersion: 'client.authentication.k8s.io/v1beta1', command: './login', env },
    });
    const answer = '{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"';
    writeFileSync(join(dirname(kubeconfig), 'login'), `#!/bin/sh\necho '${answer}'"$OURS-$OWN"'"}}'\n`, {
      mode: 0o700,
    });
    const cluster = await connect({ kubeconfig, env: { OURS: 'a', OWN: 'x', PATH: process.env.PATH }, tuning: QUICK });
    cluster.close();
    expect(api.asked[0]?.headers.authorization).toBe('Bearer a-b');
  });

  test('without a terminal with nothing to read', async () => {
    const api = await startApi();
    const { exec } = plugin("process.stdin.on('data', () => {}).on('end', () => answer({ token: 't' }));");
    await expect(connectTo(api, { pluginMs: 10_000 }, { exec })).resolves.toBeDefined();
  });

  test('with the terminal the first time only: then it shows progress', async () => {
    const { exec, runs } = plugin("answer({ token: 'token-' + run });");
    const loaded = await loadKubeconfig({ kubeconfig: writeKubeconfig('http://127.0.0.1:1', { exec }), env: {} });
    const source = credentialSource(loaded, { env: {}, terminal: true, deadlineMs: 10_000 });
    const first = await source.get();
    expect(source.refresh(first)).toBe(true);
    expect((await source.get()).headers.Authorization).toBe('Bearer token-2');
    expect(runs().map(info => info.spec)).toEqual([{ interactive: true }, { interactive: false }]);
  });
});

test('a certificate of a plugin becomes ours', async () => {
  const { exec } = plugin("answer({ clientCertificateData: 'C', clientKeyData: 'K' });");
  const loaded = await loadKubeconfig({ kubeconfig: writeKubeconfig('https://127.0.0.1:1', { exec }), env: {} });
  const { headers, tls } = await credentialSource(loaded, { env: {}, terminal: false, deadlineMs: 10_000 }).get();
  expect(headers).toEqual({});
  expect(tls).toMatchObject({ cert: 'C', key: 'K' });
});

describe('what goes wrong is one line that names the plugin and repeats nothing of it', () => {
  const leak = `console.error('${SECRET}');`;
  const json = (value: object) => `console.log(${JSON.stringify(JSON.stringify(value))});`;
  const credential = { apiVersion: V1, kind: 'ExecCredential' };
  test.each([
    ['an exit code', `${leak} console.log('${SECRET}'); process.exit(3)`, /" failed \(exit code 3\); run it by hand/],
    ['a signal', `${leak} process.kill(process.pid, 'SIGKILL')`, /" failed \(SIGKILL\)/],
    ['no JSON', `console.log('token: ${SECRET}')`, /did not answer with JSON/],
    [
      'another kind',
      json({ kind: 'Status', message: SECRET }),
      /did not answer with an ExecCredential of client\.auth/,
    ],
    ['another version', json({ ...credential, apiVersion: 'v9', status: { token: SECRET } }), /ExecCredential of/],
    ['no status', json(credential), /gave neither a token nor a certificate with its key/],
    ['a certificate without its key', json({ ...credential, status: { clientCertificateData: SECRET } }), /neither/],
    ['an endless answer', `setInterval(() => process.stdout.write('${SECRET}'.repeat(10000)), 1)`, /without end/],
  ])('%s', async (_what, code, message) => {
    const api = await startApi();
    const { exec } = plugin(code);
    const refused = connectTo(api, { pluginMs: 10_000 }, { exec });
    await expect(refused).rejects.toMatchObject({
      exitCode: EXIT.notPermitted,
      message: expect.stringMatching(message),
    });
    // --verbose shows the cause.
    await expect(refused).rejects.not.toHaveProperty('cause');
    await expect(refused).rejects.not.toThrow(SECRET);
    expect(api.asked).toEqual([]);
  });

  test('it is not installed: the hint of the kubeconfig says how', async () => {
    const api = await startApi();
    const exec = { apiVersion: V1, command: 'no-such-plugin', installHint: 'install it\nfrom there' };
    await expect(connectTo(api, {}, { exec })).rejects.toMatchObject({
      exitCode: EXIT.notPermitted,
      message: 'credential plugin "no-such-plugin" is not installed; install it',
    });
  });

  test('it cannot be run', async () => {
    const api = await startApi();
    const command = join(tempDir(), 'login');
    writeFileSync(command, '', { mode: 0o600 });
    const refused = connectTo(api, {}, { exec: { apiVersion: V1, command } });
    await expect(refused).rejects.toThrow(/^credential plugin ".*\/login" cannot be run: EACCES$/);
  });

  test('it hangs: it is ended, and whatever it has started', async () => {
    const api = await startApi();
    const file = join(tempDir(), 'pid');
    const { exec } = plugin(`
      const { pid } = require('node:child_process').spawn('sleep', ['60'], { stdio: 'inherit' });
      fs.writeFileSync(${JSON.stringify(file)}, String(pid));
      setInterval(() => {}, 1000);`);
    const began = performance.now();
    await expect(connectTo(api, { pluginMs: 2000 }, { exec })).rejects.toThrow(/gave no answer within 2 s; run it by/);
    expect(performance.now() - began).toBeLessThan(15_000);
    const child = Number(readFileSync(file, 'utf8'));
    await expect.poll(() => isAlive(child), { timeout: 10_000 }).toBe(false);
  });

  test('it needs a terminal and there is none: it is not even started', async () => {
    const api = await startApi();
    const { exec, runs } = plugin("answer({ token: 't' });", { interactiveMode: 'Always' });
    await expect(connectTo(api, {}, { exec })).rejects.toThrow(/needs a terminal to ask on; log in before/);
    expect(runs()).toEqual([]);
  });
});

/** A process that has ended and that nobody has waited for is a zombie. */
function isAlive(pid: number): boolean {
  const file = `/proc/${pid}/stat`;
  return existsSync(file) && !/\) Z /.test(readFileSync(file, 'utf8'));
}

test.each([
  ['no apiVersion', { command: 'a' }, /user "test" in .*: exec speaks no apiVersion; known are client\.auth/],
  ['an old apiVersion', { command: 'a', apiVersion: 'client.authentication.k8s.io/v1alpha1' }, /v1alpha1; known are/],
  ['no command', { apiVersion: V1 }, /exec has no command/],
  ['an unknown mode', { apiVersion: V1, command: 'a', interactiveMode: 'Maybe' }, /interactiveMode Maybe; known are/],
])('a kubeconfig whose plugin has %s is refused', async (_what, exec, message) => {
  const kubeconfig = writeKubeconfig('http://127.0.0.1:1', { exec });
  await expect(loadKubeconfig({ kubeconfig, env: {} })).rejects.toMatchObject({
    exitCode: EXIT.usage,
    message: expect.stringMatching(message),
  });
});

test('a certificate authority in a file is told to the plugin as data', async () => {
  const folder = tempDir();
  writeFileSync(join(folder, 'ca.pem'), 'PEM');
  const { exec } = plugin('', { provideClusterInfo: true });
  const extensions = [{ name: 'client.authentication.k8s.io/exec', extension: { audience: 'x' } }];
  const config = {
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server: 'https://h', 'certificate-authority': 'ca.pem', extensions } }],
    users: [{ name: 'c', user: { exec } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
  };
  writeFileSync(join(folder, 'config'), JSON.stringify(config));
  const { plugin: loaded } = await loadKubeconfig({ kubeconfig: join(folder, 'config'), env: {} });
  expect(loaded?.cluster).toEqual({
    server: 'https://h',
    'certificate-authority-data': Buffer.from('PEM').toString('base64'),
    config: { audience: 'x' },
  });
});
