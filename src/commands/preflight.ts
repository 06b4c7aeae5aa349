import type { Cluster } from '../core/cluster.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import type { Judgement, Look } from '../core/gate.ts';
import { configuredGates } from '../core/gate-settings.ts';
import type { Inventory } from '../core/inventory.ts';
import type { Mode } from '../core/mode.ts';
import type { Plan } from '../core/plan.ts';
import type { Playbook } from '../core/playbook.ts';
import { acceptFindings, GATES, runGates } from '../gates/index.ts';
import { preflightJson, preflightReport } from '../report/preflight-json.ts';
import { preflightJunit } from '../report/preflight-junit.ts';
import { preflightText } from '../report/preflight-text.ts';
import { type CommandIo, clusterLine } from './io.ts';
import { configNotes, configOf, playbookOf, targetOf, type Wishes } from './make-plan.ts';
import { readInventory } from './read-file.ts';
import { inventoryOf, openCluster } from './session.ts';

const FORMATS = ['text', 'json', 'junit'] as const;

export interface PreflightOptions extends Wishes {
  inventory?: string;
  output?: string;
  /** What could not be looked at counts as a finding. */
  strict?: boolean;
}

/** The preflight gates, their accepted errors turned into warnings. */
export async function judgePreflight(
  inventory: Inventory,
  to: Mode,
  playbook: Playbook,
  cluster?: Cluster,
): Promise<Judgement[]> {
  const proxyConfig = configOf(inventory);
  const look: Look = {
    moment: 'preflight',
    inventory,
    to,
    playbook,
    ...(cluster ? { cluster } : {}),
    configNotes: configNotes(inventory, to, playbook),
    ...(proxyConfig ? { proxyConfig } : {}),
    expectedModes: new Map(),
    exposed: new Set(),
  };
  const judgements = await runGates(configuredGates(GATES, playbook), look);
  return acceptFindings(judgements, playbook.preflight.accept);
}

export async function preflightCommand(io: CommandIo, options: PreflightOptions): Promise<number> {
  const output = options.output ?? io.options.format;
  if (!FORMATS.some(f => f === output))
    throw new ProxyctlError(`--output takes ${FORMATS.join(', ')}; got '${output}'`, EXIT.usage);
  const playbook = playbookOf(options);
  if (options.inventory !== undefined) {
    const inventory = readInventory(options.inventory);
    io.err(`${clusterLine(inventory.cluster)}  (inventory of ${inventory.takenAt})`);
    return render(io, { ...options, output }, inventory, playbook);
  }
  const cluster = await openCluster(io);
  try {
    const inventory = await inventoryOf(cluster);
    return await render(io, { ...options, output }, inventory, playbook, cluster);
  } finally {
    cluster.close();
  }
}

async function render(
  io: CommandIo,
  { output, strict }: PreflightOptions,
  inventory: Inventory,
  playbook: Playbook,
  cluster?: Cluster,
): Promise<number> {
  const to = targetOf(inventory, playbook);
  const judgements = await judgePreflight(inventory, to, playbook, cluster);
  const report = preflightReport({ madeAt: new Date().toISOString(), cluster: inventory.cluster, to, judgements });
  if (output === 'json') io.out(preflightJson(report));
  else if (output === 'junit') io.out(preflightJunit(report));
  else io.out(preflightText(report, io.paintOut));
  const bad = strict ? report.verdict !== 'pass' : report.verdict === 'fail';
  return bad ? EXIT.findings : EXIT.done;
}

/** Shows what preflight finds, and refuses to begin (exit 20) when there are errors. */
export async function checkFirst(io: CommandIo, cluster: Cluster, inventory: Inventory, plan: Plan): Promise<void> {
  const judgements = await judgePreflight(inventory, plan.to, plan.playbook, cluster);
  showFindings(io, inventory, plan, judgements);
  const failed = judgements.filter(j => j.verdict === 'fail');
  if (failed.length === 0) return;
  const ids = failed.map(j => j.gate).join(', ');
  throw new ProxyctlError(
    `preflight found errors (${ids}); nothing was changed; mend them or accept them in the playbook (preflight.accept)`,
    EXIT.findings,
  );
}

/** The report with the gates that found something; nothing where none did. */
export function showFindings(
  io: CommandIo,
  { cluster }: Inventory,
  { to }: Plan,
  judgements: readonly Judgement[],
): void {
  if (judgements.every(j => j.findings.length === 0)) return;
  const report = preflightReport({ madeAt: new Date().toISOString(), cluster, to, judgements });
  io.err(preflightText({ ...report, gates: report.gates.filter(g => g.findings.length > 0) }, io.paint));
}
