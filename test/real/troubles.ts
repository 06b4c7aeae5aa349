// What others do in the middle of a run on real nodes, what breaks around it, and who stops it: scenarios of docs/promises.md.
import { EXIT, type ExitCode } from '../../src/core/errors.ts';
import type { Step } from '../../src/core/run-state.ts';
import * as meddling from './meddling.ts';

export interface Trouble {
  /** Its row in docs/promises.md. */
  readonly scenario: string;
  readonly what: string;
  /** More options of the command. */
  readonly options?: readonly string[];
  /** It strikes as this step begins. */
  readonly step: Step;
  /** Lets it happen, and gives what undoes it. It throws where what it does itself does not end as it should. */
  readonly strike: (scene: meddling.Scene) => Promise<meddling.Undo>;
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

export const TROUBLES: readonly Trouble[] = [
  {
    scenario: 'S11',
    what: 'a policy denies what is written to nodes',
    step: 'watch',
    strike: meddling.denyWrites,
    ends: EXIT.unreachable,
    says: /not by you/,
    serves: 'from',
    next: 'resume',
  },
  {
    scenario: 'S11',
    what: 'a policy takes the label off again',
    step: 'watch',
    strike: meddling.dropLabel,
    ends: EXIT.halted,
    says: /does not bear what was just written to it/,
    serves: 'from',
    next: 'rollback',
  },
  {
    scenario: 'S12',
    what: 'the rights are taken away',
    step: 'warm',
    strike: meddling.revoke,
    ends: EXIT.notPermitted,
    says: /missing permission/,
    serves: 'from',
    next: 'resume',
  },
  {
    scenario: 'S15',
    what: 'the node is cut off from the API',
    step: 'release',
    strike: meddling.cutOff,
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
    strike: meddling.nothing,
    ends: EXIT.halted,
    says: /gave up waiting for the watchers on \S+: pod \S+ (ErrImageNeverPull|ErrImagePull|ImagePullBackOff)/,
    serves: 'from',
    next: 'rollback',
  },
  {
    scenario: 'S21',
    what: 'the DaemonSet controller stands still for 45 s',
    step: 'hand-over',
    strike: meddling.noController,
    ends: EXIT.done,
    serves: 'to',
  },
  {
    scenario: 'S23',
    what: 'somebody cordons the node',
    step: 'warm',
    strike: meddling.cordoned,
    ends: EXIT.done,
    serves: 'to',
  },
  {
    scenario: 'S29',
    what: "somebody edits kube-proxy's ConfigMap",
    step: 'warm',
    strike: meddling.editConfig,
    ends: EXIT.halted,
    says: /ConfigMap kube-system\/kube-proxy was changed by somebody else .*\(oomScoreAdj\)/s,
    serves: 'from',
    next: 'resume',
  },
  {
    scenario: 'S30',
    what: "GitOps puts kube-proxy's DaemonSet back",
    step: 'watch',
    strike: meddling.gitOps,
    ends: EXIT.halted,
    says: /DaemonSet kube-system\/kube-proxy was (changed|put back) by somebody else/,
    serves: 'from',
    next: 'rollback',
  },
  {
    scenario: 'S32',
    what: 'a second operator',
    step: 'prove',
    strike: meddling.secondOperator,
    ends: EXIT.done,
    serves: 'to',
  },
  {
    scenario: 'S33',
    what: 'the runner sleeps, and another machine takes over',
    step: 'prove',
    strike: meddling.sleeps,
    ends: EXIT.runUnderWay,
    says: /took this run over|the run ended elsewhere/,
    serves: 'from',
  },
  {
    scenario: 'S39',
    what: 'a Service loses its rules behind the back of kube-proxy',
    step: 'verify',
    strike: meddling.faultyOnceSynced('service-rules'),
    ends: EXIT.halted,
    says: /team-a\/svc-1/,
    serves: 'from',
    next: 'resume',
  },
  {
    scenario: 'S43',
    what: 'UDP to Services is dropped on the node, DNS with it',
    step: 'verify',
    strike: meddling.faultyOnceSynced('udp-dropped'),
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
    strike: meddling.aborted,
    ends: EXIT.stopped,
    serves: 'from',
    next: 'rollback',
  },
  {
    scenario: 'S47',
    what: 'Ctrl-C',
    step: 'warm',
    strike: meddling.interrupted,
    ends: EXIT.stopped,
    says: /SIGINT: stopping at the next safe point/,
    serves: 'from',
    next: 'resume',
  },
  {
    scenario: 'S47',
    what: 'Ctrl-C twice',
    step: 'hand-over',
    strike: meddling.interruptedTwice,
    ends: EXIT.stopped,
    says: /stopped at once by SIGINT; in hand was: /,
    serves: 'either',
    next: 'rollback',
  },
  {
    scenario: 'S38',
    what: 'the connection table is full',
    step: 'prove',
    strike: meddling.faulty('conntrack-full'),
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
    strike: meddling.restarted,
    ends: EXIT.halted,
    says: /restartedAt/,
    serves: 'from',
    next: 'rollback',
    stays: true,
  },
];
