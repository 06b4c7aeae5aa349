// Whom proxyctl is on the real cluster: an account with the roles of `proxyctl rbac migrate`, and nothing else.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../cli/run-cli.ts';
import { apply, inside, kubectl, SUITE } from './shell.ts';

const ACCOUNT = 'runner';
/** The account as the API server calls it. */
export const RUNNER = `system:serviceaccount:${SUITE}:${ACCOUNT}`;
/** Longer than the whole suite. */
const TOKEN_LIFE = '24h';

/** Where `giveRights` writes it. */
export const RUNNER_KUBECONFIG = join(mkdtempSync(join(tmpdir(), 'proxyctl-runner-')), 'kubeconfig');

/** Makes the account, gives it the roles, and writes a kubeconfig with a token of its. */
export async function giveRights(): Promise<void> {
  await apply([{ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: ACCOUNT, namespace: SUITE } }]);
  const roles = await runCli(['rbac', 'migrate', '--service-account', `${SUITE}:${ACCOUNT}`]);
  if (roles.code !== 0) throw new Error(`proxyctl rbac: ${roles.stderr}`);
  await inside(['kubectl', 'apply', '-f', '-'], roles.stdout);
  const token = await kubectl('-n', SUITE, 'create', 'token', ACCOUNT, `--duration=${TOKEN_LIFE}`);
  const shown = await kubectl('config', 'view', '--raw', '--minify', '--flatten', '-o', 'json');
  const [given] = JSON.parse(shown).clusters;
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: given.cluster }],
    users: [{ name: ACCOUNT, user: { token: token.trim() } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: ACCOUNT } }],
    'current-context': 'test',
  };
  writeFileSync(RUNNER_KUBECONFIG, JSON.stringify(kubeconfig), { mode: 0o600 });
}
