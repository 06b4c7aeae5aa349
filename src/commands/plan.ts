import { EXIT } from '../core/errors.ts';
import type { Inventory } from '../core/inventory.ts';
import { planText } from '../report/plan-text.ts';
import { type CommandIo, clusterLine } from './io.ts';
import { makePlan, playbookOf, targetOf, type Wishes } from './make-plan.ts';
import { readInventory, refuseOddEnding, writeData } from './read-file.ts';
import { inventoryOf, openCluster } from './session.ts';

/** An inventory from a file, or taken now. */
async function inventoryFrom(io: CommandIo, file: string | undefined): Promise<Inventory> {
  if (file !== undefined) {
    const inventory = readInventory(file);
    io.err(`${clusterLine(inventory.cluster)}  (inventory of ${inventory.takenAt})`);
    return inventory;
  }
  const cluster = await openCluster(io);
  try {
    return await inventoryOf(cluster);
  } finally {
    cluster.close();
  }
}

export async function planCommand(
  io: CommandIo,
  options: Wishes & { inventory?: string; output?: string },
): Promise<number> {
  refuseOddEnding(options.output);
  const playbook = playbookOf(options);
  const inventory = await inventoryFrom(io, options.inventory);
  const plan = makePlan(inventory, targetOf(inventory, playbook), playbook);
  if (options.output !== undefined) {
    writeData(options.output, plan);
    io.err(planText(plan, { width: io.width, paint: io.paint, verbose: io.options.verbose }));
    io.err(`written to ${options.output}; 'proxyctl migrate ${options.output}' runs it`);
  } else if (io.options.format === 'json') io.out(JSON.stringify(plan));
  else io.out(planText(plan, { width: io.width, paint: io.paintOut, verbose: io.options.verbose }));
  return EXIT.done;
}
