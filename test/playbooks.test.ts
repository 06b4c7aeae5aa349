import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readPlaybook } from '../src/commands/read-file.ts';
import { MODES } from '../src/core/mode.ts';

const folder = new URL('../playbooks/', import.meta.url);
const files = readdirSync(folder).toSorted();

describe('playbooks', () => {
  it('has one for each way from mode to mode', () => {
    const ways = MODES.flatMap(from => MODES.filter(to => to !== from).map(to => `${from}-to-${to}.yaml`));
    expect(files).toEqual(ways.sort());
  });

  it.each(files)('%s is valid and goes where its name says', file => {
    const playbook = readPlaybook(new URL(file, folder).pathname);
    expect(`${playbook.from}-to-${playbook.to}.yaml`).toBe(file);
    expect(playbook.title).toBe(`From ${playbook.from} to ${playbook.to}`);
    // A migration must not be able to hang for long on one gate, nor hurry past it.
    expect(playbook.gates.convergence).toBeGreaterThanOrEqual(300);
    expect(playbook.gates.soak).toBe(10);
  });
});
