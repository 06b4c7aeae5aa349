import { EXIT } from '../core/errors.ts';
import { inventoryText } from '../report/inventory-text.ts';
import type { CommandIo } from './io.ts';
import { refuseOddEnding, writeData } from './read-file.ts';
import { inventoryOf, openCluster } from './session.ts';

export async function inventoryCommand(io: CommandIo, options: { output?: string }): Promise<number> {
  refuseOddEnding(options.output);
  const cluster = await openCluster(io);
  try {
    const inventory = await inventoryOf(cluster);
    if (options.output !== undefined) {
      writeData(options.output, inventory);
      io.err(inventoryText(inventory));
      io.err(`written to ${options.output}`);
    } else if (io.options.format === 'json') io.out(JSON.stringify(inventory));
    else io.out(inventoryText(inventory));
    return EXIT.done;
  } finally {
    cluster.close();
  }
}
