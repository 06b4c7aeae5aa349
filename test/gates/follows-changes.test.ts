import type { ForcedChange, Look, NodeInFlip } from '../../src/core/gate.ts';
import { ruleOptions } from '../../src/core/rule-options.ts';
import { ServiceHistory } from '../../src/core/service-history.ts';
import { followsChanges } from '../../src/gates/follows-changes.ts';
import { inFlip, look, NOW, view } from './looks.ts';
import { table } from './table.ts';

const KEY = '10.96.7.7:80/TCP';
const truth = { history: new ServiceHistory(), options: ruleOptions({}), trouble: () => undefined };

interface Scene {
  /** Where the rules of our Service lead; `null` when the rules have not been read. */
  leads?: string[] | null;
  /** Seconds before now: of the change, and of the reading of the kernel. */
  changed?: number;
  read?: number;
  node?: Partial<NodeInFlip>;
  look?: Partial<Look>;
  offset?: number;
}

function at({ leads = ['192.0.2.2:9'], changed = 60, read = 1, offset = 0, ...over }: Scene = {}): Look {
  const change: ForcedChange = { key: KEY, endpoint: '192.0.2.2:9', at: NOW - changed * 1000 };
  const kernel = leads && {
    t: new Date(NOW - read * 1000 - offset).toISOString(),
    rules: new Map(leads.length > 0 ? [[KEY, { key: KEY, endpoints: leads }]] : []),
  };
  const node = inFlip({ view: view({ offset, rules: kernel ? { nftables: kernel } : {} }), ...over.node });
  return look('soak', { node, truth, change, ...over.look });
}

const { change: _change, ...unchanged } = at();
const { truth: _truth, ...untold } = at();

table(followsChanges, [
  ['follows', at(), 'pass'],
  ['follows at once', at({ changed: 2 }), 'pass'],
  [
    'leads where it led before',
    at({ leads: ['192.0.2.1:9'] }),
    'fail',
    /^error node n1 59 s after a change of endpoints its nftables rules for 10\.96\.7\.7:80\/TCP still lead to 192\.0\.2\.1:9, not to 192\.0\.2\.2:9$/,
  ],
  [
    'leads to both',
    at({ leads: ['192.0.2.1:9', '192.0.2.2:9'] }),
    'fail',
    /still lead to 192\.0\.2\.1:9, 192\.0\.2\.2:9/,
  ],
  ['has no rule for it', at({ leads: [] }), 'fail', /still lead nowhere/],
  ['does not follow yet', at({ leads: [], changed: 5 }), 'inconclusive', /do not follow the change of endpoints yet/],
  ['was read before the change', at({ changed: 5, read: 6 }), 'inconclusive', /has not been read since the change/],
  ['the node’s clock is behind ours', at({ leads: [], offset: 3_600_000 }), 'fail', /59 s after/],
  [
    'the node’s clock is ahead, and the reading is old',
    at({ offset: -3_600_000, read: 70 }),
    'inconclusive',
    /not been read since/,
  ],
  [
    'only another mode was read',
    at({ node: { expected: 'ipvs' } }),
    'inconclusive',
    /ipvs rules in the kernel have not been read/,
  ],
  ['nothing was read', at({ leads: null }), 'inconclusive', /nftables rules in the kernel have not been read/],
  ['nothing was changed', unchanged, 'inconclusive', /no endpoint was changed/],
  ['nobody follows the API', untold, 'inconclusive', /could not look: nobody follows what the API says/],
  ['no node', look('soak', { truth }), 'inconclusive', /no node is looked at/],
  [
    'the watcher is silent',
    at({ node: { view: view({ seenAt: { host: NOW - 20_000, pod: NOW } }) } }),
    'inconclusive',
    /the host watcher has been silent for 20 s/,
  ],
]);
