// Where much fails at once, as behind a dead network plugin, verdicts must come before the Lease of the run is lost.
import { expect, test } from 'vitest';
import type { NodeFacts, ServiceFacts } from '../../src/core/inventory.ts';
import type { Outcome } from '../../src/core/observation.ts';
import { failingHereOnly } from '../../src/core/probes-across.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import { ServiceHistory } from '../../src/core/service-history.ts';
import { serviceProbes } from '../../src/gates/service-probes.ts';
import { reduced, reducedSlice, service, slice } from '../core/api-objects.ts';
import { makeInventory, makeNode, makePlaybook, makeService } from '../core/cluster-data.ts';
import { inFlip, look, tally, view } from './looks.ts';

const MANY = 300;
/** How often each of them may be read, however many fail. */
const MOST_READS = 20;

/** The same things, with a count of how often their names were read. */
function counted<T extends { name: string }>(things: readonly T[]): { things: T[]; reads: () => number } {
  let reads = 0;
  const watched = things.map(thing => {
    const { name } = thing;
    return Object.defineProperty({ ...thing }, 'name', {
      enumerable: true,
      get: () => {
        reads++;
        return name;
      },
    });
  });
  return { things: watched, reads: () => reads };
}

const timeout = { total: 3, inARow: 3, outcome: 'timeout' as Outcome };
const keys = Array.from({ length: MANY }, (_, i) => `shop/web-${i}`);
const allBad = Object.fromEntries(keys.map(key => [`${key}:80/TCP`, timeout]));

test.each([
  ['that answered before', {}, 'fail'],
  ['that did not answer before either', allBad, 'pass'],
])('Services %s are looked up, not searched for', async (_, before, verdict) => {
  const { things, reads } = counted<ServiceFacts>(keys.map(key => makeService(key, { readyByNode: { n1: 1 } })));
  const rounds = (bad: typeof allBad) => view({ rounds: { host: tally(bad), pod: tally(bad) } });
  const node = inFlip({ view: rounds(allBad), baseline: rounds(before) });
  const judgement = await serviceProbes.look(
    look('after-node', { inventory: makeInventory([makeNode('n1')], things), node }),
  );
  expect(judgement.verdict).toBe(verdict);
  expect(reads()).toBeLessThan(MANY * MOST_READS);
});

test('NodePorts that no node answers are not searched for from each node', () => {
  const { things, reads } = counted<NodeFacts>(
    keys.map((_, i) => makeNode(`n${i}`, { internalIPs: [`10.0.${i >> 8}.${i & 255}`] })),
  );
  const history = new ServiceHistory();
  history.putService(reduced(service()), 0);
  history.putSlice(reducedSlice(slice([{ ip: '10.244.0.5' }])), 0);
  const probed = things.map(({ name, internalIPs }) => ({
    name,
    tally: {
      ...tally({ [`shop/web:80/TCP@node-port:${internalIPs[0]}`]: timeout }),
      kinds: { 'node-port': 50, 'cluster-ip-tcp': 50 },
    },
  }));
  const before = reads();
  const found = failingHereOnly(probed, {
    inventory: makeInventory(things, [makeService('shop/web')]),
    playbook: makePlaybook(),
    truth: { history, options: ruleOptions({}), trouble: () => undefined },
  });
  expect(found).toEqual(new Map());
  expect(reads() - before).toBeLessThan(MANY * MOST_READS);
});
