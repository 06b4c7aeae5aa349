// The main job with exactly the rights that `proxyctl rbac` prints, and not one more than it needs.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { MAKING_NAMESPACE, type Purpose, questions, rulesFor } from '../../src/core/access.ts';
import type { Access, Kind, KubeObject } from '../../src/core/cluster.ts';
import { NAMESPACE } from '../../src/core/names.ts';
import { OWN_PORT } from '../../src/core/probe-service.ts';
import { type Asked, Authorizer } from '../../src/sim/sim.ts';
import { type RunningCli, runCli, startCli, tempFile } from '../cli/run-cli.ts';
import { type EmbeddedTestbed, embeddedTestbed } from './embedded-testbed.ts';
import { differences } from './testbed.ts';

const TIMEOUT = 900_000;
const NO_RULE = 'requests that no rule in src/core/access.ts allows';
const NO_REQUEST = 'rules in src/core/access.ts that no request needs';
const where = ({ verb, group, resource, namespace, name }: Asked) =>
  `${verb} ${resource}${group === '' ? '' : `.${group}`}${name === undefined ? '' : ` ${name}`} in ${namespace ?? 'the cluster'}`;

/** What a user has asked for, each request once. */
function requestsOf(bed: EmbeddedTestbed, user: string): Map<string, Asked> {
  const requests = new Map<string, Asked>();
  bed.sim.hear((who, asked) => {
    if (who.user === user) requests.set(where(asked), asked);
  });
  return requests;
}

async function rolesFor(purpose: Purpose): Promise<KubeObject[]> {
  const printed = await runCli(['rbac', purpose, '--user', purpose]);
  expect(printed.code, printed.stderr).toBe(0);
  return parseAllDocuments(printed.stdout).map(document => document.toJS());
}

/** proxyctl as this user, who is nobody but by these roles. */
function as(bed: EmbeddedTestbed, user: string) {
  const kubeconfig = bed.sim.kubeconfig().replace('user: {}', `user: { as: ${user} }`);
  const playbook = tempFile('playbook.yaml', 'gates: { soak: 0s, settle: 3s, convergence: 25s, drain: 0s }\n');
  const file = tempFile('kubeconfig', kubeconfig);
  return (...args: string[]) =>
    startCli([
      '--kubeconfig',
      file,
      ...args,
      ...(/^(migrate|verify)$/.test(args[0] ?? '') ? ['--playbook', playbook] : []),
    ]);
}

const who = (user: string) => ({ user, groups: ['system:authenticated'] });

/** Every role with one verb of one resource less, and what is missing then. */
function* lessened(objects: readonly KubeObject[]): Generator<{ less: KubeObject[]; what: string }> {
  for (const object of objects) {
    for (const [index, rule] of (object.rules ?? []).entries()) {
      for (const verb of rule.verbs) {
        const less = structuredClone(objects) as KubeObject[];
        const changed = less[objects.indexOf(object)];
        changed?.rules.splice(index, 1, { ...rule, verbs: rule.verbs.filter((v: string) => v !== verb) });
        yield { less, what: `${verb} ${rule.resources} ${rule.resourceNames ?? ''} (${object.kind})` };
      }
    }
  }
}

function authorizer(objects: readonly KubeObject[]): Authorizer {
  const made = new Authorizer();
  made.grant(objects);
  return made;
}

function unneeded(objects: readonly KubeObject[], user: string, requests: Iterable<Asked>): string[] {
  const all = [...requests];
  return [...lessened(objects)]
    .filter(({ less }) => all.every(asked => authorizer(less).allows(who(user), asked)))
    .map(({ what }) => what);
}

function uncovered(objects: readonly KubeObject[], user: string, requests: Iterable<Asked>): string[] {
  const given = authorizer(objects);
  return [...requests].filter(asked => !given.allows(who(user), asked)).map(where);
}

let bed: EmbeddedTestbed;
beforeAll(async () => {
  bed = await embeddedTestbed('iptables', 21);
});
afterAll(() => bed.close());

describe.each(['inventory', 'preflight', 'status'] as const)('rights for %s', purpose => {
  it('suffice, and each of them is needed', { timeout: TIMEOUT }, async () => {
    const roles = await rolesFor(purpose);
    bed.sim.apply(roles);
    const requests = requestsOf(bed, purpose);
    const result = await as(bed, purpose)(purpose).result;
    expect(uncovered(roles, purpose, requests.values()), NO_RULE).toEqual([]);
    // Preflight finds that these rights are too few for a migration.
    expect(result.code, result.stderr).toBe(purpose === 'preflight' ? 20 : 0);
    // What status reads of a run is only asked for while there is one.
    if (purpose !== 'status') expect(unneeded(roles, purpose, requests.values())).toEqual([]);
  });
});

describe('rights for verify', () => {
  it('suffice, and each of them is needed', { timeout: TIMEOUT }, async () => {
    const roles = await rolesFor('verify');
    bed.sim.apply(roles);
    const requests = requestsOf(bed, 'verify');
    for (const before of [[], leftovers()]) {
      for (const object of before) bed.sim.registry.create(object, object.kind as Kind, NAMESPACE);
      const result = await as(bed, 'verify')('verify').result;
      expect(uncovered(roles, 'verify', requests.values()), NO_RULE).toEqual([]);
      expect(result.code, result.stderr).toBe(0);
      const left = (['Pod', 'Service', 'EndpointSlice', 'Lease', 'ConfigMap'] as const).flatMap(kind =>
        bed.sim.store.list(kind, NAMESPACE),
      );
      expect(left.map(object => object.metadata.name)).toEqual(['kube-root-ca.crt']);
    }
    for (const args of [
      ['trace', 'default/kubernetes'],
      ['status', '--look'],
    ]) {
      const result = await as(bed, 'verify')(...args).result;
      expect(uncovered(roles, 'verify', requests.values()), NO_RULE).toEqual([]);
      expect(result.code, result.stderr).toBe(0);
    }
    expect(unneeded(roles, 'verify', requests.values()), NO_REQUEST).toEqual([]);
  });

  it('are what status takes to look at nodes, as its help says; its own do not suffice', {
    timeout: TIMEOUT,
  }, async () => {
    const help = await runCli(['status', '--help']);
    expect(help.stdout.replaceAll(/\s+/g, ' ')).toContain('(takes the rights of verify)');
    bed.sim.apply(await rolesFor('status'));
    const result = await as(bed, 'status')('status', '--look').result;
    expect(result.code, result.stderr).toBe(77);
  });
});

/** What a verification that was killed leaves in a namespace that was given to it. */
function leftovers(): KubeObject[] {
  const probeName = (node: string) => `probe-${createHash('sha256').update(node).digest('hex').slice(0, 12)}`;
  const labels = { 'proxyctl.dev/part': 'targets' };
  return [
    {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'proxyctl', namespace: NAMESPACE },
      spec: { holderIdentity: '', leaseTransitions: 1 },
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'proxyctl-targets', namespace: NAMESPACE, labels },
      data: { 'targets.json': '{}' },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: probeName(bed.sim.nodes[0]?.name ?? ''),
        namespace: NAMESPACE,
        labels: { 'proxyctl.dev/part': 'probe' },
      },
      spec: {
        ports: [{ name: 'echo', port: OWN_PORT, protocol: 'TCP', targetPort: 'echo' }],
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 3600 } },
      },
    },
  ];
}

describe('rights for migrate', () => {
  it('suffice from preflight to finalize, and each of them is needed', { timeout: TIMEOUT }, async () => {
    const roles = await rolesFor('migrate');
    bed.sim.apply(roles);
    // A new namespace is furnished by controllers.
    await expect.poll(() => bed.sim.store.list('ConfigMap', 'proxyctl').length, { timeout: 10_000 }).toBe(1);
    const before = await bed.objects();
    const requests = requestsOf(bed, 'migrate');
    const proxyctl = as(bed, 'migrate');
    const expected = async (code: number, ...args: string[]) => {
      const result = await proxyctl(...args).result;
      expect(uncovered(roles, 'migrate', requests.values()), NO_RULE).toEqual([]);
      expect(result.code, `${args.join(' ')}: ${result.stderr}`).toBe(code);
    };
    await expected(0, 'preflight');
    const clear = breakService(bed);
    await expected(21, 'migrate', '--to', 'nftables', '--yes');
    clear();
    await expected(0, 'status');
    await killedWhileWarm(bed, proxyctl('migrate', '--yes'));
    await expected(0, 'migrate', '--yes');
    await expected(0, 'rollback', '--node', bed.sim.nodes[1]?.name ?? '', '--yes');
    await expected(0, 'rollback', '--yes');
    expect(differences(before, await bed.objects()), 'left behind by the rollback').toEqual([]);
    await expected(0, 'migrate', '--to', 'nftables', '--yes');
    await expected(0, 'finalize', '--yes');
    expect(bed.sim.store.list('Pod', 'proxyctl')).toEqual([]);
    expect(bed.sim.store.list('ConfigMap', 'proxyctl').map(map => map.metadata.name)).toEqual(['kube-root-ca.crt']);
    expect(unneeded(roles, 'migrate', requests.values()), NO_REQUEST).toEqual([]);
  });

  it('are more where the namespace has to be made, and no more than that', { timeout: TIMEOUT }, async () => {
    const fresh = await embeddedTestbed('iptables', 22);
    const requests = requestsOf(fresh, 'simulated-admin');
    try {
      for (const args of [['migrate', '--to', 'nftables'], ['rollback']]) {
        const result = await fresh.proxyctl(...args, '--yes');
        expect(result.code, result.stderr).toBe(0);
      }
    } finally {
      await fresh.close();
    }
    const asked = [...requests.values()];
    const more = questions(MAKING_NAMESPACE);
    expect(more.filter(question => !asked.some(one => answers(question, one)))).toEqual([]);
    const all = [...questions(rulesFor('migrate')), ...more];
    expect(asked.filter(one => !all.some(question => answers(question, one))).map(where), NO_RULE).toEqual([]);
  });
});

function answers(question: Access, asked: Asked): boolean {
  const { verb, group, resource, namespace, name } = question;
  const same = verb === asked.verb && group === asked.group && resource === asked.resource;
  return same && (namespace ?? asked.namespace) === asked.namespace && (name ?? asked.name) === asked.name;
}

/** The runner dies while it relies on a warm kube-proxy, so that the next one has to take over from it. */
async function killedWhileWarm({ sim }: EmbeddedTestbed, runner: RunningCli): Promise<void> {
  const warm = () =>
    sim.store.list('Pod', 'kube-system').some(p => p.metadata.labels?.['proxyctl.dev/part'] === 'warm');
  await expect.poll(warm, { timeout: 180_000 }).toBe(true);
  runner.signal('SIGKILL');
  await runner.result;
}

/** A Service that loses its rules in nftables on one node; gives what mends it. */
function breakService({ sim }: EmbeddedTestbed): () => void {
  const service = sim.store
    .list('Service', undefined)
    .find(s => s.metadata.namespace !== 'kube-system' && s.spec.selector);
  const node = sim.nodes[1]?.name ?? '';
  return sim.fault.silentService(node, `${service?.metadata.namespace}/${service?.metadata.name}`, ['nftables']);
}
