// What happens to a run on real nodes, and what undoes it.
import { EXIT, type ExitCode } from '../../src/core/errors.ts';
import type { FaultTestbed } from '../scenarios/fault-matrix.ts';
import type { Fault } from '../scenarios/fault-rows.ts';
import { nodesCalm, stopped } from './disasters.ts';
import type { RealRunning } from './proxyctl.ts';
import { RUNNER } from './rights.ts';
import { apply, eventually, type KubeJson, kubectl, onNode, sleep } from './shell.ts';
import { lastWords, type Stage, TO } from './stage.ts';
import { synced } from './stock.ts';

/** Where a trouble strikes: a migration of one node under way. */
export interface Scene {
  readonly stage: Stage;
  readonly run: RealRunning;
  readonly faults: FaultTestbed;
}

export type Undo = () => Promise<void>;

const NOTHING: Undo = async () => {};
const PROXY = ['-n', 'kube-system'] as const;
const SLEEP_MS = 40_000;
const CONTROLLER_MS = 45_000;

async function expectEnd(command: RealRunning, code: ExitCode): Promise<void> {
  const result = await command.result;
  if (result.code !== code) throw new Error(`${code} was expected: ${lastWords(result)}`);
}

/** A change of the shared configuration, and back. */
export async function editConfig(): Promise<Undo> {
  const map = JSON.parse(await kubectl(...PROXY, 'get', 'cm', 'kube-proxy', '-o', 'json'));
  const was: string = map.data['config.conf'];
  const edited = was.replace(/^oomScoreAdj:.*$/m, 'oomScoreAdj: -7');
  if (edited === was) throw new Error('the configuration has no oomScoreAdj');
  // Who applies it leaves an annotation.
  const write = async (text: string) => {
    const patch = JSON.stringify({ data: { 'config.conf': text } });
    await kubectl(...PROXY, 'patch', 'cm', 'kube-proxy', '--type=merge', '-p', patch);
  };
  await write(edited);
  return () => write(was);
}

/** Puts kube-proxy's DaemonSet back as it was before the run, again and again. */
export async function gitOps(): Promise<Undo> {
  let on = true;
  const work = async () => {
    while (on) {
      const patches = [
        { op: 'remove', path: '/spec/template/spec/affinity' },
        { op: 'replace', path: '/spec/updateStrategy/type', value: 'RollingUpdate' },
      ];
      // Where it is as it was already, there is nothing to remove.
      await kubectl(...PROXY, 'patch', 'ds', 'kube-proxy', '--type=json', '-p', JSON.stringify(patches)).catch(
        () => '',
      );
      await sleep(2000);
    }
  };
  const working = work();
  return async () => {
    on = false;
    await working;
  };
}

const POLICY = 'px-somebody';
/** The API server has heard of a policy, or of its end, by then. */
const POLICY_MS = 5000;
const POLICIES = 'admissionregistration.k8s.io/v1';
const NODE_UPDATES = {
  resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['nodes'] }],
};

export const denyWrites = () => policy('Validating', { validations: [{ expression: 'false', message: 'not by you' }] });

export const dropLabel = () => policy('Mutating', DROPS_LABEL);

/** A policy of the API server for what proxyctl writes to nodes. It takes some seconds to hold. */
async function policy(kind: 'Validating' | 'Mutating', spec: KubeJson): Promise<Undo> {
  const matchConditions = [{ name: 'proxyctl', expression: `request.userInfo.username == '${RUNNER}'` }];
  const named = (what: string, body: KubeJson) => ({
    apiVersion: POLICIES,
    kind: what,
    metadata: { name: POLICY },
    spec: body,
  });
  const binding = { policyName: POLICY, ...(kind === 'Validating' ? { validationActions: ['Deny'] } : {}) };
  const whole = { failurePolicy: 'Fail', matchConstraints: NODE_UPDATES, matchConditions, ...spec };
  await apply([named(`${kind}AdmissionPolicy`, whole), named(`${kind}AdmissionPolicyBinding`, binding)]);
  return async () => {
    const kinds = `${kind}AdmissionPolicyBinding,${kind}AdmissionPolicy`.toLowerCase();
    await kubectl('delete', kinds, POLICY);
    await sleep(POLICY_MS);
  };
}

const LABEL = '/metadata/labels/proxyctl.dev~1mode';
const BEARS = (object: string) => `has(${object}.metadata.labels) && 'proxyctl.dev/mode' in ${object}.metadata.labels`;
const DROPS_LABEL: KubeJson = {
  reinvocationPolicy: 'Never',
  mutations: [
    {
      patchType: 'JSONPatch',
      jsonPatch: {
        expression: `(${BEARS('object')}) && !(${BEARS('oldObject')}) ? [JSONPatch{op: 'remove', path: '${LABEL}'}] : []`,
      },
    },
  ],
};

/** Takes away what the account may do in the whole cluster. */
export async function revoke(): Promise<Undo> {
  const all = JSON.parse(await kubectl('get', 'clusterrolebindings', '-o', 'json')).items;
  const [, , namespace, name] = RUNNER.split(':');
  const ours = all.filter(({ subjects = [] }: { subjects?: { namespace?: string; name: string }[] }) =>
    subjects.some(subject => subject.namespace === namespace && subject.name === name),
  );
  if (ours.length === 0) throw new Error('the account has no ClusterRoleBinding');
  for (const { metadata } of ours) await kubectl('delete', 'clusterrolebinding', metadata.name);
  return () => apply(ours);
}

/** Nothing that the node itself says reaches the API server, until it is called not ready and for as long as that is. */
export async function cutOff({ stage: { node } }: Scene): Promise<Undo> {
  const chain = 'chain out { type filter hook output priority -310; tcp dport 6443 drop; };';
  await onNode(node, `nft 'table inet px-cut { ${chain} }'`);
  return async () => {
    await onNode(node, 'nft delete table inet px-cut');
    await nodesCalm();
  };
}

/** The runner sleeps for longer than its Lease; meanwhile another machine takes the node back. */
export async function sleeps({ stage, run }: Scene): Promise<Undo> {
  run.signal('SIGSTOP');
  try {
    await sleep(SLEEP_MS);
    await expectEnd(stage.bed.start('rollback', '--yes', '--format', 'json'), EXIT.done);
  } finally {
    run.signal('SIGCONT');
  }
  return NOTHING;
}

/** A fault of the fault matrix, on the node. */
export const faulty =
  (fault: Fault) =>
  async ({ faults, stage: { node } }: Scene): Promise<Undo> => {
    await faults.inject(fault, TO, node);
    return faults.heal;
  };

/** The same, once the new mode's own kube-proxy has written its rules. */
export const faultyOnceSynced = (fault: Fault) => async (scene: Scene) => {
  await synced(scene.stage.node);
  return faulty(fault)(scene);
};

export async function cordoned({ stage: { node } }: Scene): Promise<Undo> {
  await kubectl('cordon', node);
  return async () => {
    const still = await kubectl('get', 'node', node, '-o', 'jsonpath={.spec.unschedulable}');
    await kubectl('uncordon', node);
    if (still !== 'true') throw new Error(`${node} was not cordoned any more`);
  };
}

export async function noController(): Promise<Undo> {
  await stopped('kube-controller-manager', CONTROLLER_MS);
  return NOTHING;
}

export async function secondOperator({ stage }: Scene): Promise<Undo> {
  await expectEnd(stage.begin('one'), EXIT.runUnderWay);
  return NOTHING;
}

export async function aborted({ stage }: Scene): Promise<Undo> {
  await expectEnd(stage.bed.start('abort'), EXIT.done);
  return NOTHING;
}

export async function interrupted({ run }: Scene): Promise<Undo> {
  run.signal('SIGINT');
  return NOTHING;
}

export async function interruptedTwice({ run }: Scene): Promise<Undo> {
  run.signal('SIGINT');
  await eventually('the first to be heard', 30, async () => run.stderr().includes('once more stops at once'));
  run.signal('SIGINT');
  return NOTHING;
}

export async function restarted(): Promise<Undo> {
  await kubectl(...PROXY, 'rollout', 'restart', 'ds/kube-proxy');
  return NOTHING;
}

export const nothing = async (): Promise<Undo> => NOTHING;
