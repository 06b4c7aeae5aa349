import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Mode } from '../core/mode.ts';
import { NAMESPACE } from '../core/names.ts';
import { parseObservation, type SweepSample } from '../core/observation.ts';
import { proxyAddresses } from '../core/proxy-address.ts';
import type { Engine } from './engine.ts';
import { createFresh, refOf, removeAtOnce } from './node-watch.ts';
import { sweeperPod } from './pods.ts';
import { PodPace } from './troubles.ts';

export interface Sweeping {
  /** Resolves when nothing of the left mode remains; throws with what remains. The pod is removed either way. */
  finished(): Promise<SweepSample>;
}

export interface Sweep {
  readonly node: string;
  readonly left: Mode;
  readonly now: Mode;
  /** Whose word counts for `now`: the node's own kube-proxy, or the warm one once the node's own has gone. */
  readonly serving: 'main' | 'warm';
}

/** Starts the sweeper of a node. It waits on the node itself until `now` serves there, so it may be started early. */
export async function startSweep(engine: Engine, { node, left, now, serving }: Sweep): Promise<Sweeping> {
  const { run } = engine;
  const { convergence, drain } = run.plan.playbook.gates;
  const waits = { drain, wait: convergence, exclude: [...engine.excludeCIDRs], serving };
  const main = proxyAddresses(engine.proxyConfig);
  const options = { run: run.id, image: engine.watcherImage, node, left, now, main, ...waits };
  const pod = await createFresh(run, sweeperPod(options));
  let last: SweepSample | undefined;
  let trouble = '';
  const pace = new PodPace(run.clock.monotonic());
  const done = new AbortController();
  const follow = run.cluster.followLog(
    { namespace: NAMESPACE, pod: pod.metadata.name },
    line => {
      const observation = parseObservation(line);
      if (observation?.kind === 'trouble') trouble = `; last trouble: ${observation.what}: ${observation.error}`;
      if (observation?.kind !== 'sweep') return;
      last = observation;
      if (observation.phase === 'done' || observation.phase === 'refused') done.abort();
    },
    done.signal,
  );
  // Its failure is told by finished(); until then nobody else may be told.
  follow.catch(() => undefined);
  const removed = () => {
    done.abort();
    return removeAtOnce(run, pod);
  };
  return {
    async finished() {
      try {
        await Promise.race([
          follow,
          run.waitFor(`${node}: what ${left} left behind to be removed`, convergence + drain + 60, async seen => {
            if (done.signal.aborted) return true;
            if (!pace.isDue(run.clock.monotonic())) return undefined;
            seen(await run.cluster.get(refOf(pod)));
            return done.signal.aborted ? true : undefined;
          }),
        ]);
      } finally {
        await removed();
      }
      if (last?.phase === 'done' && last.remaining.length === 0) return last;
      const detail = `${lastWord(last)}${trouble}`;
      throw new ProxyctlError(`${node}: what ${left} left behind could not be removed: ${detail}`, EXIT.halted);
    },
  };
}

function lastWord(last: SweepSample | undefined): string {
  if (!last) return 'the sweeper said nothing';
  const { phase, detail, remaining } = last;
  const early = phase === 'done' || phase === 'refused' ? '' : 'the sweeper ended early; ';
  return `${early}${detail}${remaining.length > 0 ? `; remaining: ${remaining.join(', ')}` : ''}`;
}
