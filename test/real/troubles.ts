// What others do in the middle of a run on real nodes, what breaks around it, and who stops it: scenarios of docs/promises.md.
import { EXIT, type ExitCode } from '../../src/core/errors.ts';
import type { Mode } from '../../src/core/mode.ts';
import type { Step } from '../../src/core/run-state.ts';
import type { FaultTestbed } from '../scenarios/fault-matrix.ts';
import type { Fault } from '../scenarios/fault-rows.ts';
import { stopped } from './disasters.ts';
import type { RealRunning } from './proxyctl.ts';
import { RUNNER } from './rights.ts';
import { apply, eventually, type KubeJson, kubectl, onNode, sleep } from './shell.ts';
import { lastWords, type Stage } from './stage.ts';
import { synced } from './stock.ts';

/** Where a trouble strikes: a migration of one node from `from` to `to`, under way. */
export interface Scene {
  readonly stage: Stage;
  readonly run: RealRunning;
  readonly node: string;
  readonly faults: FaultTestbed;
}

type Undo = () => Promise<void>;

export interface Trouble {
  /** Its row in docs/promises.md. */
  readonly scenario: string;
  readonly what: string;
  /** More options of the command. */
  readonly options?: readonly string[];
  /** It strikes as this step begins. */
  readonly step: Step;
  /** Lets it happen, and gives what undoes it. It throws where what it does itself does not end as it should. */
  readonly strike: (scene: Scene) => Promise<Undo>;
  /** Clients on the node itself lose by it, whoever is at work. */
  readonly costsNode?: true;
  /** How the command ends, what it says, and which mode the node serves in then. */
  readonly ends: ExitCode;
  readonly says?: RegExp;
  readonly serves: 'from' | 'to' | 'either';
  /** The command after that, once the trouble is over: it ends with 0. */
  readonly next?: 'resume' | 'rollback';
  /** What it did to objects stays, and the way back leaves it. */
  readonly stays?: true;
}

const NOTHING: Undo = async () => {};
const PROXY = ['-n', 'kube-system'] as const;
const SLEEP_MS = 40_000;
const CONTROLLER_MS = 45_000;

async function read(...what: string[]): Promise<KubeJson> {
  return JSON.parse(await kubectl('get', ...what, '-o', 'json'));
}

async function expectEnd(command: RealRunning, code: ExitCode): Promise<void> {
  const result = await command.result;
  if (result.code !== code) throw new Error(`${code} was expected: ${lastWords(result)}`);
}

/** A change of the shared configuration, and back. */
async function editConfig(): Promise<Undo> {
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
async function gitOps(): Promise<Undo> {
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
const POLICIES = 'admissionregistration.k8s.io/v1';
const NODE_UPDATES = {
  resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['nodes'] }],
};

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

/** The API server has heard of a policy, or of its end, by then. */
const POLICY_MS = 5000;

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
async function revoke(): Promise<Undo> {
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
async function cutOff({ node }: Scene): Promise<Undo> {
  const chain = 'chain out { type filter hook output priority -310; tcp dport 6443 drop; };';
  await onNode(node, `nft 'table inet px-cut { ${chain} }'`);
  return async () => {
    await onNode(node, 'nft delete table inet px-cut');
    await kubectl('wait', '--for=condition=Ready', `node/${node}`, '--timeout=120s');
    await eventually('the servers to be ready', 120, async () => {
      await kubectl('-n', 'shop', 'wait', '--for=condition=Ready', 'pod', '--all', '--timeout=10s');
      return true;
    });
  };
}

/** The runner sleeps for longer than its Lease; meanwhile another machine takes the node back. */
async function sleeps({ stage, run }: Scene): Promise<Undo> {
  run.signal('SIGSTOP');
  try {
    await sleep(SLEEP_MS);
    await expectEnd(stage.bed.start('rollback', '--yes', '--format', 'json'), EXIT.done);
  } finally {
    run.signal('SIGCONT');
  }
  return NOTHING;
}

/** A fault of the node's, once the new mode's own kube-proxy has written its rules. */
const onceSynced =
  (fault: Fault, mode: Mode) =>
  async ({ faults, node }: Scene): Promise<Undo> => {
    await synced(node);
    await faults.inject(fault, mode, node);
    return faults.heal;
  };

export const TROUBLES: readonly Trouble[] = [
  {
    scenario: 'S11',
    what: 'a policy denies what is written to nodes',
    step: 'watch',
    strike: () => policy('Validating', { validations: [{ expression: 'false', message: 'not by you' }] }),
    ends: EXIT.unreachable,
    says: /not by you/,
    serves: 'from',
    next: 'resume',
  },
  {
    scenario: 'S11',
    what: 'a policy takes the label off again',
    step: 'watch',
    strike: () => policy('Mutating', DROPS_LABEL),
    ends: EXIT.halted,
    says: /does not bear what was just written to it/,
    serves: 'from',
    next: 'rollback',
  },
  {
    scenario: 'S12',
    what: 'the rights are taken away',
    step: 'warm',
    strike: revoke,
    ends: EXIT.notPermitted,
    says: /missing permission/,
    serves: 'from',
    next: 'resume',
  },
  {
    scenario: 'S15',
    what: 'the node is cut off from the API',
    step: 'release',
    strike: cutOff,
    ends: EXIT.halted,
    says: /node \S+ is not Ready: waited 180 s for the kube-proxy on \S+ to end/,
    serves: 'either',
    next: 'rollback',
  },
  {
    scenario: 'S20',
    what: "the watchers' image is not there",
    options: ['--watcher-image', 'localhost/px-nobody:1'],
    step: 'watch',
    strike: async () => NOTHING,
    ends: EXIT.halted,
    says: /gave up waiting for the watchers on \S+: pod \S+ (ErrImageNeverPull|ErrImagePull|ImagePullBackOff)/,
    serves: 'from',
    next: 'rollback',
  },
  {
    scenario: 'S21',
    what: 'the DaemonSet controller stands still for 45 s',
    step: 'hand-over',
    strike: async () => {
      await stopped('kube-controller-manager', CONTROLLER_MS);
      return NOTHING;
    },
    ends: EXIT.done,
    serves: 'to',
  },
  {
    scenario: 'S23',
    what: 'somebody cordons the node',
    step: 'warm',
    strike: async ({ node }) => {
      await kubectl('cordon', node);
      return async () => {
        const { spec } = await read('node', node);
        await kubectl('uncordon', node);
        if (!(spec as { unschedulable?: boolean }).unschedulable) throw new Error(`${node} was not cordoned any more`);
      };
    },
    ends: EXIT.done,
    serves: 'to',
  },
  {
    scenario: 'S29',
    what: "somebody edits kube-proxy's ConfigMap",
    step: 'warm',
    strike: editConfig,
    ends: EXIT.halted,
    says: /ConfigMap kube-system\/kube-proxy was changed by somebody else .*\(oomScoreAdj\)/s,
    serves: 'from',
    next: 'resume',
  },
  {
    scenario: 'S30',
    what: "GitOps puts kube-proxy's DaemonSet back",
    step: 'watch',
    strike: gitOps,
    ends: EXIT.halted,
    says: /DaemonSet kube-system\/kube-proxy was (changed|put back) by somebody else/,
    serves: 'from',
    next: 'rollback',
  },
  {
    scenario: 'S32',
    what: 'a second operator',
    step: 'prove',
    strike: async ({ stage }) => {
      await expectEnd(stage.begin('one'), EXIT.runUnderWay);
      return NOTHING;
    },
    ends: EXIT.done,
    serves: 'to',
  },
  {
    scenario: 'S33',
    what: 'the runner sleeps, and another machine takes over',
    step: 'prove',
    strike: sleeps,
    ends: EXIT.runUnderWay,
    says: /took this run over|the run ended elsewhere/,
    serves: 'from',
  },
  {
    scenario: 'S39',
    what: 'a Service loses its rules behind the back of kube-proxy',
    step: 'verify',
    strike: onceSynced('service-rules', 'nftables'),
    ends: EXIT.halted,
    says: /team-a\/svc-1/,
    serves: 'from',
    next: 'resume',
  },
  {
    scenario: 'S43',
    what: 'UDP to Services is dropped on the node, DNS with it',
    step: 'verify',
    strike: onceSynced('udp-dropped', 'nftables'),
    costsNode: true,
    ends: EXIT.halted,
    says: /udp/i,
    serves: 'from',
    next: 'rollback',
  },
  {
    scenario: 'S46',
    what: 'the run is aborted from another shell',
    step: 'prove',
    strike: async ({ stage }) => {
      await expectEnd(stage.bed.start('abort'), EXIT.done);
      return NOTHING;
    },
    ends: EXIT.stopped,
    serves: 'from',
    next: 'rollback',
  },
  {
    scenario: 'S47',
    what: 'Ctrl-C',
    step: 'warm',
    strike: async ({ run }) => {
      run.signal('SIGINT');
      return NOTHING;
    },
    ends: EXIT.stopped,
    says: /SIGINT: stopping at the next safe point/,
    serves: 'from',
    next: 'resume',
  },
  {
    scenario: 'S47',
    what: 'Ctrl-C twice',
    step: 'hand-over',
    strike: async ({ run }) => {
      run.signal('SIGINT');
      await eventually('the first to be heard', 30, async () => run.stderr().includes('once more stops at once'));
      run.signal('SIGINT');
      return NOTHING;
    },
    ends: EXIT.stopped,
    says: /stopped at once by SIGINT; in hand was: /,
    serves: 'either',
    next: 'rollback',
  },
  {
    scenario: 'S38',
    what: 'the connection table is full',
    step: 'prove',
    strike: async ({ faults, node }) => {
      await faults.inject('conntrack-full', 'nftables', node);
      return faults.heal;
    },
    costsNode: true,
    ends: EXIT.halted,
    says: /conntrack/,
    serves: 'from',
    next: 'rollback',
  },
  {
    scenario: 'S31',
    what: 'somebody restarts kube-proxy',
    step: 'warm',
    strike: async () => {
      await kubectl(...PROXY, 'rollout', 'restart', 'ds/kube-proxy');
      return NOTHING;
    },
    ends: EXIT.halted,
    says: /restartedAt/,
    serves: 'from',
    next: 'rollback',
    stays: true,
  },
];
