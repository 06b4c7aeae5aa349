import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadKubeconfig } from '../../src/cluster/kubeconfig.ts';
import { EXIT } from '../../src/core/errors.ts';
import { tempDir } from './api-server.ts';

const config = (name: string, more: { server?: string; current?: string; cluster?: string; user?: string } = {}) => `
apiVersion: v1
kind: Config
${more.current === undefined ? '' : `current-context: ${more.current}`}
clusters: [{name: ${name}, cluster: {server: "${more.server ?? `https://${name}:6443`}" ${more.cluster ?? ''}}}]
users: [{name: admin, user: {${more.user ?? `token: token-of-${name}`}}}]
contexts: [{name: ${name}, context: {cluster: ${name}, user: admin}}]
`;

function files(contents: Record<string, string>): (name: string) => string {
  const folder = tempDir();
  for (const [name, text] of Object.entries(contents)) writeFileSync(join(folder, name), text);
  return name => join(folder, name);
}

describe('which files', () => {
  test('of a KUBECONFIG list the first file wins, for the context and for names that stand in both', async () => {
    const at = files({ a: config('one', { current: 'one' }), b: config('two', { current: 'two' }) });
    const env = { KUBECONFIG: [at('a'), at('missing'), at('b')].join(delimiter) };
    const first = await loadKubeconfig({ env });
    expect(first).toMatchObject({ context: 'one', server: 'https://one:6443' });
    const second = await loadKubeconfig({ env, context: 'two' });
    expect(second.server).toBe('https://two:6443');
    expect(second.kubeConfig.getCurrentUser()?.token).toBe('token-of-one');
  });

  test('a context of a later file is current when the first one has none', async () => {
    const at = files({ a: config('one'), b: config('two', { current: 'two' }) });
    expect((await loadKubeconfig({ env: { KUBECONFIG: `${at('a')}${delimiter}${at('b')}` } })).context).toBe('two');
  });

  test('--kubeconfig goes before KUBECONFIG, which goes before ~/.kube/config', async () => {
    const at = files({ a: config('one', { current: 'one' }), b: config('two', { current: 'two' }) });
    const home = tempDir();
    mkdirSync(join(home, '.kube'));
    writeFileSync(join(home, '.kube', 'config'), config('home', { current: 'home' }));
    expect((await loadKubeconfig({ kubeconfig: at('a'), env: { KUBECONFIG: at('b') } })).context).toBe('one');
    expect((await loadKubeconfig({ env: { KUBECONFIG: at('b'), HOME: home } })).context).toBe('two');
    expect((await loadKubeconfig({ env: { HOME: home } })).context).toBe('home');
  });

  test('certificate paths are relative to their own file', async () => {
    const at = files({ 'ca.crt': 'x', 'c.crt': 'x', 'c.key': 'x', a: '' });
    const text = config('one', {
      current: 'one',
      cluster: ', certificate-authority: ca.crt',
      user: 'client-certificate: c.crt, client-key: ./c.key',
    });
    writeFileSync(at('a'), text);
    const { kubeConfig } = await loadKubeconfig({ kubeconfig: at('a'), env: {} });
    expect(kubeConfig.getCurrentCluster()?.caFile).toBe(at('ca.crt'));
    expect(kubeConfig.getCurrentUser()).toMatchObject({ certFile: at('c.crt'), keyFile: at('c.key') });
  });

  test('credentials in the server URL stay out of what is shown', async () => {
    const at = files({ a: config('one', { current: 'one', server: 'https://bob:secret@api/k8s/c1/' }) });
    expect((await loadKubeconfig({ kubeconfig: at('a'), env: {} })).server).toBe('https://api/k8s/c1');
  });
});

describe('what is wrong, in one line with exit code 64', () => {
  const at = files({
    good: config('one', { current: 'one' }),
    noContext: config('one'),
    yaml: 'apiVersion: v1\nclusters:\n  - name: a\n    cluster: {server: "https://a"\nusers: []\n',
    secret: 'users:\n- name: a\n  user:\n    token: "s3cr3t\n',
    list: '- a\n- b\n',
    shape: 'clusters: {a: b}\n',
    noName: 'clusters: []\nusers: [{user: {}}]\n',
    server: config('one', { current: 'one', server: 'one:6443' }),
    noFile: config('one', { current: 'one', cluster: ', certificate-authority: nowhere.crt' }),
    dangling: 'current-context: x\ncontexts: [{name: x, context: {cluster: nope, user: u}}]\n',
  });
  const cases: [string, Parameters<typeof loadKubeconfig>[0], RegExp][] = [
    ['explicit and missing', { kubeconfig: at('nope'), env: {} }, /^kubeconfig .*nope does not exist$/],
    ['none at all', { env: { HOME: tempDir() } }, /^no kubeconfig: .*config does not exist; set --kubeconfig/],
    [
      'KUBECONFIG names nothing that exists',
      { env: { KUBECONFIG: at('nope'), HOME: '/' } },
      /^no kubeconfig: KUBECONFIG names/,
    ],
    [
      'unknown context',
      { kubeconfig: at('good'), context: 'two', env: {} },
      /context "two" is not in .*good; known contexts: one$/,
    ],
    [
      'no current context',
      { kubeconfig: at('noContext'), env: {} },
      /no current-context in .*--context \(known contexts: one\)/,
    ],
    ['malformed', { kubeconfig: at('yaml'), env: {} }, /^kubeconfig .*yaml:5:\d+: /],
    ['a secret in a malformed line', { kubeconfig: at('secret'), env: {} }, /^kubeconfig .*secret:\d+:\d+: [^3]*$/],
    ['not a map', { kubeconfig: at('list'), env: {} }, /list:1:1: not a kubeconfig/],
    ['wrong shape', { kubeconfig: at('shape'), env: {} }, /shape: clusters is not a list/],
    ['no name', { kubeconfig: at('noName'), env: {} }, /noName: users\[0\] has no name/],
    ['server without scheme', { kubeconfig: at('server'), env: {} }, /cluster "one" in .*server: server must be a URL/],
    ['missing certificate', { kubeconfig: at('noFile'), env: {} }, /needs the file .*nowhere\.crt: ENOENT/],
    [
      'dangling cluster',
      { kubeconfig: at('dangling'), env: {} },
      /context "x" names the cluster "nope", which is not in/,
    ],
  ];
  test.each(cases)('%s', async (_name, options, message) => {
    await expect(loadKubeconfig(options)).rejects.toMatchObject({
      name: 'ProxyctlError',
      exitCode: EXIT.usage,
      message: expect.stringMatching(message),
    });
  });
});
