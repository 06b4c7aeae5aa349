// The main job on the embedded cluster, from a plan to a halt and back, in one process. The code is the shipped one: the client
// talks HTTP to the simulated API, and the watchers that run on the simulated nodes are the ones that run on real ones.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { isMode, MODES, type Mode } from '../core/mode.ts';
import { Playbook } from '../core/playbook.ts';
import type { RunRecord } from '../core/run-state.ts';
import { demoSummary } from '../report/demo-text.ts';
import { planText } from '../report/plan-text.ts';
import { realClock } from '../run/clock.ts';
import { rollback } from '../run/give-back.ts';
import { holding } from '../run/hold.ts';
import { migrate } from '../run/migrate.ts';
import { ensureNamespace, writeRecord } from '../run/record.ts';
import { FAULTS, striker, victimOf } from './demo-fault.ts';
import type { CommandIo } from './io.ts';
import { makePlan } from './make-plan.ts';
import { originalsOf } from './originals.ts';
import { judgePreflight } from './preflight.ts';
import { runAction } from './run-action.ts';
import { holder, inventoryOf, newRunId, openCluster } from './session.ts';
import { signals } from './signals.ts';

export interface DemoOptions {
  nodes: string;
  services: string;
  to: string;
  batch: string;
  fault: string;
  seed: string;
}

/** The gates wait for no longer than the simulated cluster needs. */
const GATES = { soak: '1s', settle: '2s', convergence: '30s', drain: '2s' };

export async function demoCommand(io: CommandIo, options: DemoOptions): Promise<number> {
  const { to, nodes, services, batch, seed } = checked(options);
  const { startSim } = await import('./sim-cluster.ts');
  const from: Mode = to === 'iptables' ? 'nftables' : 'iptables';
  const sim = await startSim({ nodes, services, namespaces: Math.max(2, Math.round(services / 10)), mode: from, seed });
  const folder = mkdtempSync(join(tmpdir(), 'proxyctl-demo-'));
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, sim.kubeconfig(), { mode: 0o600 });
  const { stop, kill, off } = signals(text => io.err(text));
  const demo: CommandIo = { ...io, options: { ...io.options, kubeconfig } };
  const cluster = await openCluster(demo);
  try {
    const playbook = Playbook.parse({ batch: { services: batch }, gates: GATES });
    const inventory = await inventoryOf(cluster);
    const plan = makePlan(inventory, to, playbook);
    const failed = (await judgePreflight(inventory, to, playbook, cluster)).filter(j => j.verdict === 'fail');
    if (failed.length > 0)
      throw new Error(`the simulated cluster fails preflight: ${failed.map(j => j.gate).join(', ')}`);
    io.err(planText(plan, { width: io.width, paint: io.paint, verbose: io.options.verbose }));
    sim.traffic.start();
    const originals = await originalsOf(cluster, inventory);
    await ensureNamespace(cluster, realClock);
    const run = newRunId();
    const startedAt = new Date().toISOString();
    const record: RunRecord = { kind: 'RunRecord', version: 1, run, revision: 1, startedAt, plan, originals };
    const base = { cluster, inventory, record, stop, kill };
    const hold = { cluster, clock: realClock, run, holder: holder(run) };
    const victim = victimOf(options.fault, plan, inventory);
    const there = await holding({ ...hold, record: undefined }, async held => {
      await writeRecord(cluster, record);
      return runAction(demo, { ...base, held, action: 'migrate' }, engine => {
        if (victim) engine.journal.subscribe(striker(sim, victim, io));
        return migrate(engine);
      });
    });
    io.err('');
    const back = await holding({ ...hold, record }, held =>
      runAction(demo, { ...base, held, action: 'rollback' }, engine => rollback(engine)),
    );
    const traffic = sim.traffic.totals();
    const broken = victim && { broken: { ...victim, failed: victim.failed(traffic) } };
    const facts = { plan, there: there.events, back: back.events, traffic, ...broken };
    // As of any run: with JSON the events are all that goes to stdout.
    if (io.options.format === 'json') io.err(demoSummary(facts, io.paint));
    else io.out(demoSummary(facts, io.paintOut));
    const asMeant = there.ending.outcome === (victim ? 'halted' : 'done') && back.ending.outcome === 'rolled back';
    return asMeant ? EXIT.done : EXIT.internal;
  } finally {
    off();
    cluster.close();
    await sim.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function checked(options: DemoOptions): { to: Mode; nodes: number; services: number; batch: number; seed: number } {
  if (!isMode(options.to)) throw new ProxyctlError(`--to takes ${MODES.join(', ')}; got '${options.to}'`, EXIT.usage);
  if (!FAULTS.includes(options.fault)) {
    throw new ProxyctlError(`--fault takes ${FAULTS.join(', ')}; got '${options.fault}'`, EXIT.usage);
  }
  const count = (name: 'nodes' | 'services' | 'batch' | 'seed', least: number) => {
    const value = Number(options[name]);
    if (Number.isInteger(value) && value >= least) return value;
    throw new ProxyctlError(`--${name} takes a whole number, ${least} or more; got '${options[name]}'`, EXIT.usage);
  };
  return {
    to: options.to,
    nodes: count('nodes', 2),
    services: count('services', 4),
    batch: count('batch', 1),
    seed: count('seed', 0),
  };
}
