import type { ClusterIdentity } from './inventory.ts';
import type { EffectiveMode, Mode } from './mode.ts';
import type { Step } from './run-state.ts';

export interface StatusNode {
  name: string;
  /** What serves there now, as its kube-proxy's log says. */
  mode: EffectiveMode;
  ready: boolean;
  /** Where the run's plan has it, and where it came from. */
  batch?: string;
  from?: Mode;
  /** Value of our label, and the last step that was intended for it. */
  label?: string;
  step?: Step;
  to?: Mode;
}

/** Where a run stands, read from the cluster alone. */
export interface RunStatus {
  kind: 'RunStatus';
  version: 1;
  cluster: ClusterIdentity;
  /** `holder` is empty when nobody runs it at the moment. */
  run?: { id: string; to: Mode; startedAt: string; holder: string };
  nodes: StatusNode[];
  /** What does not fit, one line each; empty when all is as it should be. */
  unfit: string[];
}
