// Bad input: one clear line, the documented exit code, nothing changed.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSim } from '../../src/commands/sim-cluster.ts';
import { runCli, tempFile } from './run-cli.ts';

let sim: Awaited<ReturnType<typeof startSim>>;
let kubeconfig: string;

beforeAll(async () => {
  sim = await startSim({ nodes: 3, namespaces: 4, services: 20, mode: 'iptables', seed: 7 });
  kubeconfig = tempFile('kubeconfig', sim.kubeconfig());
});

afterAll(() => sim.close());

/** What a process says on stderr after the line that names the cluster. */
function complaint(stderr: string): string[] {
  return stderr.split('\n').filter(line => line !== '' && !line.startsWith('SIMULATED cluster'));
}

const at = (...args: string[]) => ['--kubeconfig', kubeconfig, ...args];

describe('before any cluster is asked', () => {
  it.each([
    ['a missing kubeconfig', ['--kubeconfig', '/nowhere/config', 'plan'], 64, /\/nowhere\/config/],
    ['no kubeconfig at all', ['plan'], 64, /kubeconfig/],
    ['an unknown mode', ['plan', '--to', 'nftable'], 64, /--to takes iptables, ipvs, nftables; got 'nftable'/],
    ['batch 0', ['plan', '--batch', '0'], 64, /--batch takes a whole number of Services, 1 or more; got '0'/],
    ['a negative batch', ['plan', '--batch=-5'], 64, /got '-5'/],
    [
      'a plan file, and flags that would change nothing',
      ['migrate', 'plan.yaml', '--batch', '5'],
      64,
      /--batch would change none of them; leave it out/,
    ],
    ['an unknown command', ['migrat'], 64, /unknown command 'migrat'/],
    ['a cap for preflight, which looks at none', ['preflight', '--batch', '5'], 64, /unknown option '--batch'/],
    ['an unknown flag', ['plan', '--bach', '5'], 64, /unknown option '--bach'/],
    ['a plan to a file of no known kind', ['plan', '-o', 'plan.txt'], 64, /plan\.txt: the name must end in \.yaml/],
    ['an inventory to such a file', ['inventory', '-o', 'cluster'], 64, /cluster: the name must end in \.yaml/],
    ['a plan that is not there', ['migrate', '/nowhere/plan.yaml'], 65, /\/nowhere\/plan\.yaml/],
    [
      'rights for nobody knows what',
      ['rbac', 'all'],
      64,
      /rbac takes inventory, preflight, status, verify, migrate; got 'all'/,
    ],
    ['a Service that is none', ['trace', 'shop/web/x'], 64, /trace takes NAMESPACE\/NAME.*got 'shop\/web\/x'/],
    ['two namespaces', ['trace', 'a/web', '-n', 'b'], 64, /'a\/web' names another namespace than --namespace b/],
    ['a format that trace has not', ['trace', 'web', '--format', 'junit'], 64, /Allowed choices are text, json/],
    ['an account without its namespace', ['rbac', '--service-account', 'ci'], 64, /takes NAMESPACE:NAME; got 'ci'/],
    [
      'a bad fault of the demo',
      ['demo', '--fault', 'fire'],
      64,
      /--fault takes silent-service, silent-udp, .*none; got 'fire'/,
    ],
  ])('%s', async (_what, args, code, message) => {
    const result = await runCli(args);
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(code);
    expect(result.stdout).toBe('');
    expect(result.stderr).not.toMatch(/\n\s+at /);
  });

  it('a malformed kubeconfig, with line and column', async () => {
    const file = tempFile('config', 'apiVersion: v1\nclusters: [\n');
    const result = await runCli(['--kubeconfig', file, 'plan']);
    expect(result.code).toBe(64);
    expect(complaint(result.stderr)).toHaveLength(1);
    expect(result.stderr).toMatch(/config:\d+:\d+/);
  });

  it('a soak that no watcher lives to see', async () => {
    const file = tempFile('playbook.yaml', 'version: 1\nto: nftables\ngates:\n  soak: 24h\n');
    const result = await runCli(['plan', '--playbook', file]);
    expect(result.code).toBe(65);
    expect(result.stderr).toMatch(/playbook\.yaml:4:9.*soak: at most 12h/);
    expect(complaint(result.stderr)).toHaveLength(1);
  });

  it('an unknown playbook key, with file, line and column', async () => {
    const file = tempFile('playbook.yaml', 'version: 1\nto: nftables\ngates:\n  soaks: 5s\n');
    const result = await runCli(['plan', '--playbook', file]);
    expect(result.code).toBe(65);
    expect(result.stderr).toMatch(/playbook\.yaml:4:3.*soaks/);
    expect(complaint(result.stderr)).toHaveLength(1);
  });

  it('a malformed plan', async () => {
    const file = tempFile('plan.yaml', 'kind: Plan\nversion: [1\n');
    const result = await runCli(['migrate', file, '--yes']);
    expect(result.code).toBe(65);
    expect(result.stderr).toMatch(/plan\.yaml:\d+:\d+/);
  });
});

describe('asked of a cluster', () => {
  const objects = () => sim.store.dump();

  it('an unknown context names the known ones', async () => {
    const result = await runCli(at('--context', 'prod', 'plan'));
    expect(result.code).toBe(64);
    expect(result.stderr).toMatch(/prod.*simulated/);
  });

  it('an API that does not answer', async () => {
    const gone = tempFile('kubeconfig', sim.kubeconfig().replace(/127\.0\.0\.1:\d+/, '127.0.0.1:1'));
    const result = await runCli(['--kubeconfig', gone, 'plan']);
    expect(result.code).toBe(69);
    expect(complaint(result.stderr)).toHaveLength(1);
    expect(result.stderr).toMatch(/127\.0\.0\.1:1/);
  });

  it('a missing permission, with verb and resource', async () => {
    const allow = sim.deny({ verb: 'list', resource: 'services' });
    const result = await runCli(at('plan'));
    allow();
    expect(result.code).toBe(77);
    expect(result.stderr).toMatch(/list.*services/);
  });

  it('no terminal and no --yes', async () => {
    const before = objects();
    const result = await runCli(at('migrate'));
    expect(result.code).toBe(64);
    expect(result.stderr).toMatch(/--yes/);
    expect(objects()).toEqual(before);
  });

  it('a foreign, an edited and a stale plan', async () => {
    const file = tempFile('plan.json', '');
    expect((await runCli(at('plan', '--to', 'nftables', '-o', file))).code).toBe(0);
    const plan = JSON.parse(readFileSync(file, 'utf8'));
    const before = objects();
    const refused = async (change: (plan: { cluster: { uid: string }; to: string; fingerprint: object }) => void) => {
      const other = structuredClone(plan);
      change(other);
      return runCli(at('migrate', tempFile('plan.json', JSON.stringify(other)), '--yes'));
    };
    const foreign = await refused(p => (p.cluster.uid = 'another'));
    expect([foreign.code, foreign.stderr]).toEqual([24, expect.stringMatching(/the plan is for cluster/)]);
    const edited = await refused(p => (p.to = 'ipvs'));
    expect([edited.code, edited.stderr]).toEqual([24, expect.stringMatching(/edited/)]);
    sim.addNode('late-comer');
    const stale = await runCli(at('migrate', file, '--yes'));
    expect([stale.code, stale.stderr]).toEqual([24, expect.stringMatching(/stale.*late-comer/)]);
    sim.removeNode('late-comer');
    expect(objects().length).toBe(before.length);
  });
});
