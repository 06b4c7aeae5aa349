import { describe } from 'vitest';
import { residue } from '../../src/gates/residue.ts';
import { ASKED, kernelSample, seen } from './looks.ts';
import { table } from './table.ts';

const old = new Date((ASKED - 5) * 1000).toISOString();
const nft = (over: object) =>
  kernelSample({ modes: { nftables: { present: true, servicePorts: 2, missing: [], traces: [], ...over } } });

describe('residue', () => {
  const traces = (mode: 'iptables' | 'ipvs', names: string[]) => {
    const sample = kernelSample();
    return {
      kernel: { ...sample, modes: { ...sample.modes, [mode]: { present: true, servicePorts: 1, traces: names } } },
    };
  };
  const { iptables: _, ...unread } = kernelSample().modes;
  table(residue, [
    ['nothing left', seen({}), 'pass'],
    [
      'the old mode',
      seen(traces('iptables', ['chain KUBE-SVC-1', 'chain KUBE-SEP-1'])),
      'fail',
      /iptables is left behind: chain KUBE-SVC-1, chain KUBE-SEP-1/,
    ],
    ['a third mode', seen(traces('ipvs', ['device kube-ipvs0'])), 'fail', /ipvs is left behind: device kube-ipvs0/],
    [
      'the mode itself is no residue',
      seen({ kernel: nft({ traces: ['table ip kube-proxy'] }) }),
      'inconclusive',
      /iptables could not be read/,
    ],
    [
      'the old mode was not read',
      seen({ kernel: kernelSample({ modes: unread }) }),
      'inconclusive',
      /iptables could not be read/,
    ],
    [
      'the old mode was not read, and why',
      seen({ kernel: kernelSample({ modes: unread }), troubles: ['iptables-nft-save: nat of ip has rules'] }),
      'inconclusive',
      /iptables could not be read; last trouble: iptables-nft-save: nat of ip has rules$/,
    ],
    [
      'outside runs: a mode was not read',
      seen({ kernel: kernelSample({ modes: unread }) }, { from: 'nftables' }, 'verify'),
      'inconclusive',
      /^inconclusive node n1 the rules of mode iptables could not be read$/,
    ],
    ['read before the flip', seen({ kernel: kernelSample({ t: old }) }), 'inconclusive', /not read since/],
    ['on the way back the target is residue', seen({}, { expected: 'iptables', from: 'iptables' }), 'pass'],
  ]);
});
