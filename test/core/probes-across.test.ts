import { describe, expect, test } from 'vitest';
import type { ProbeTally } from '../../src/core/node-view.ts';
import { failingHereOnly } from '../../src/core/probes-across.ts';
import { ServiceHistory } from '../../src/core/service-history.ts';
import { tally } from '../gates/looks.ts';
import { reduced, service } from './api-objects.ts';

const ID = 'shop/web:80/TCP';
const bad = (inARow: number, id = ID) => ({
  [id]: { total: Math.max(1, inARow), inARow, outcome: 'timeout' as const },
});
const node = (name: string, pod: ProbeTally) => ({ name, tally: pod });

function said(nodes: ReturnType<typeof node>[], spec = {}): string[] {
  const history = new ServiceHistory();
  history.putService(reduced(service(spec)), 0);
  const found = failingHereOnly(nodes, { history }, 2);
  return [...found].flatMap(([name, findings]) => findings.map(f => `${name} ${f.level} ${f.subject} ${f.message}`));
}

describe('a Service that does not answer', () => {
  test('from here, while it answers from elsewhere, is an error of this node', () => {
    expect(said([node('n1', tally(bad(3))), node('n2', tally()), node('n3', tally(bad(2)))])).toEqual([
      `n1 error service shop/web ${ID} from the pod network of n1: timeout, 3 times in a row, while it answers from n2`,
      `n3 error service shop/web ${ID} from the pod network of n3: timeout, 2 times in a row, while it answers from n2`,
    ]);
  });

  test.each(['shop/web:81/UDP', 'kube-system/kube-dns:53/UDP@dns'])('as %s is an error, too', id => {
    expect(said([node('n1', tally(bad(2, id))), node('n2', tally())])).toHaveLength(1);
  });

  test.each([
    ['from anywhere', [node('n1', tally(bad(3))), node('n2', tally(bad(3)))]],
    ['once only', [node('n1', tally(bad(1))), node('n2', tally())]],
    [
      'where nobody else has looked',
      [node('n1', tally(bad(3))), node('n2', tally({}, 0)), node('n3', { ...tally(), attempts: 0 })],
    ],
    ['where the other one lost some, too', [node('n1', tally(bad(3))), node('n2', tally(bad(0)))]],
    [
      'over UDP from anywhere',
      [node('n1', tally(bad(3, 'shop/web:53/UDP'))), node('n2', tally(bad(3, 'shop/web:53/UDP')))],
    ],
    ['on a NodePort', [node('n1', tally(bad(3, 'shop/web:80/TCP@node-port:192.0.2.1'))), node('n2', tally())]],
  ])('%s says nothing', (_, nodes) => expect(said(nodes)).toEqual([]));

  test('by its policy says nothing', () => {
    expect(said([node('n1', tally(bad(3))), node('n2', tally())], { internalTrafficPolicy: 'Local' })).toEqual([]);
  });
});
