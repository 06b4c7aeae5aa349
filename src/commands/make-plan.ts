// From an inventory and the operator's wishes to a plan: shared by plan, preflight, migrate and demo.
import { type ConfigNote, translateConfig } from '../core/config-translation.ts';
import { EXIT, ProxyctlError } from '../core/errors.ts';
import { familiesOf, type Inventory } from '../core/inventory.ts';
import { atLeast, isMode, MODE_NEEDS, MODES, type Mode, majorMinor } from '../core/mode.ts';
import type { Plan } from '../core/plan.ts';
import { planMigration } from '../core/planner.ts';
import { Playbook } from '../core/playbook.ts';
import { parseConfig } from '../drivers/config-text.ts';
import { readPlaybook } from './read-file.ts';
import { driverFor, sha256 } from './session.ts';

export interface Wishes {
  to?: string;
  batch?: string;
  playbook?: string;
}

/** The playbook file, or the defaults, with the flags of the command line over it. Asks nothing of a cluster. */
export function playbookOf(wishes: Wishes): Playbook {
  const playbook = wishes.playbook === undefined ? Playbook.parse({}) : readPlaybook(wishes.playbook);
  const { to, batch } = wishes;
  if (to !== undefined && !isMode(to))
    throw new ProxyctlError(`--to takes ${MODES.join(', ')}; got '${to}'`, EXIT.usage);
  const services = batch === undefined ? playbook.batch.services : Number(batch);
  if (!Number.isInteger(services) || services < 1) {
    throw new ProxyctlError(`--batch takes a whole number of Services, 1 or more; got '${batch}'`, EXIT.usage);
  }
  return { ...playbook, ...(to === undefined ? {} : { to }), batch: { ...playbook.batch, services } };
}

/** The target that was asked for, else nftables if every node can run it. */
export function targetOf(inventory: Inventory, playbook: Playbook): Mode {
  if (playbook.to) return playbook.to;
  const why = cannotRun(inventory, 'nftables');
  if (why) throw new ProxyctlError(`nftables is the default target, but ${why}; choose one with --to`, EXIT.usage);
  return 'nftables';
}

function cannotRun(inventory: Inventory, mode: Mode): string | undefined {
  const { kernel, kubernetes } = MODE_NEEDS[mode];
  const server = majorMinor(inventory.cluster.kubernetes);
  if (!server || !atLeast(server, kubernetes))
    return `Kubernetes ${inventory.cluster.kubernetes} is older than ${kubernetes.join('.')}`;
  for (const node of inventory.nodes.filter(n => n.os === 'linux')) {
    const version = majorMinor(node.kernel);
    if (!version || !atLeast(version, kernel))
      return `node ${node.name} has kernel ${node.kernel}, older than ${kernel.join('.')}`;
  }
  return undefined;
}

/** What the change of mode means for the options that are set. Empty when there is no configuration to read. */
export function configNotes(inventory: Inventory, to: Mode, playbook: Playbook): ConfigNote[] {
  const map = inventory.proxy.configMap;
  if (!map) return [];
  const from = inventory.nodes.map(n => n.mode).find(mode => isMode(mode) && mode !== to);
  const options = { ...playbook.options, families: familiesOf(inventory) };
  return translateConfig(parseConfig(map.text), from && isMode(from) ? from : to, to, options).notes;
}

export function makePlan(inventory: Inventory, to: Mode, playbook: Playbook): Plan {
  const driver = driverFor(inventory, to).id;
  const notes = configNotes(inventory, to, playbook).map(note => `${note.path}: ${note.message}`);
  const madeAt = new Date().toISOString();
  return planMigration({
    inventory,
    playbook,
    to,
    driver,
    madeAt,
    hash: sha256,
    notes,
    proxyConfig: configOf(inventory),
  });
}

/** The shared configuration, parsed; undefined when there is none to read, and kube-proxy has its defaults. */
export function configOf({ proxy: { configMap } }: Pick<Inventory, 'proxy'>): Record<string, unknown> | undefined {
  return configMap && parseConfig(configMap.text);
}
