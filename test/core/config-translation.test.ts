import { describe, expect, it } from 'vitest';
import { type TranslationOptions, translateConfig } from '../../src/core/config-translation.ts';
import { MODES, type Mode } from '../../src/core/mode.ts';

const preserve: TranslationOptions = { nodePortAddresses: 'preserve', families: ['IPv4', 'IPv6'] };

/** As kubeadm writes it. */
const kubeadm = {
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  mode: '',
  nodePortAddresses: null,
  clusterCIDR: '10.244.0.0/16',
  iptables: {
    localhostNodePorts: null,
    masqueradeAll: false,
    masqueradeBit: null,
    minSyncPeriod: '0s',
    syncPeriod: '0s',
  },
  ipvs: {
    excludeCIDRs: null,
    minSyncPeriod: '0s',
    scheduler: '',
    strictARP: false,
    syncPeriod: '0s',
    tcpFinTimeout: '0s',
    tcpTimeout: '0s',
    udpTimeout: '0s',
  },
  nftables: { masqueradeAll: false, masqueradeBit: null, minSyncPeriod: '0s', syncPeriod: '0s' },
};

function edits(config: Record<string, unknown>, from: Mode, to: Mode, options = preserve): Record<string, unknown> {
  return Object.fromEntries(
    translateConfig(config, from, to, options).edits.map(edit => [edit.path.join('.'), edit.value]),
  );
}

function notes(config: Record<string, unknown>, from: Mode, to: Mode, options = preserve): string[] {
  return translateConfig(config, from, to, options).notes.map(note => `${note.level} ${note.path}: ${note.message}`);
}

describe('translateConfig', () => {
  it.each(MODES.flatMap(from => MODES.map(to => [from, to] as const)))(
    'writes the mode and no more than it must from %s to %s',
    (from, to) => {
      const expected: Record<string, unknown> = { mode: to };
      if (from !== 'nftables' && to === 'nftables') expected.nodePortAddresses = ['0.0.0.0/0', '::/0'];
      if (from === 'nftables' && to !== 'nftables') expected.nodePortAddresses = ['primary'];
      expect(edits(kubeadm, from, to)).toEqual(expected);
      expect(edits({}, from, to)).toEqual(expected);
      const levels = translateConfig(kubeadm, from, to, preserve).notes.map(note => `${note.level} ${note.path}`);
      expect(levels).toEqual('nodePortAddresses' in expected ? ['info nodePortAddresses'] : []);
    },
  );

  it('limits the match-all addresses to the families of the cluster', () => {
    expect(edits({}, 'ipvs', 'nftables', { ...preserve, families: ['IPv4'] }).nodePortAddresses).toEqual(['0.0.0.0/0']);
    expect(edits({}, 'ipvs', 'nftables', { ...preserve, families: ['IPv6'] }).nodePortAddresses).toEqual(['::/0']);
    expect(edits({}, 'ipvs', 'nftables', { ...preserve, families: ['IPv6', 'IPv4'] }).nodePortAddresses).toEqual([
      '0.0.0.0/0',
      '::/0',
    ]);
  });

  it('keeps node port addresses that are given', () => {
    expect(edits({ nodePortAddresses: ['10.0.0.0/8'] }, 'iptables', 'nftables')).toEqual({ mode: 'nftables' });
    expect(edits({ nodePortAddresses: ['primary'] }, 'nftables', 'ipvs')).toEqual({ mode: 'ipvs' });
  });

  it('says where NodePorts answer when the default is to hold', () => {
    const options = { ...preserve, nodePortAddresses: 'default' } as const;
    expect(edits({}, 'iptables', 'nftables', options)).toEqual({ mode: 'nftables' });
    expect(notes({}, 'iptables', 'nftables', options)).toEqual([
      "warning nodePortAddresses: is empty: NodePorts and health check node ports answered on every local address, they will on the node's primary addresses",
    ]);
    expect(notes({}, 'nftables', 'ipvs', options)[0]).toMatch(
      /^warning nodePortAddresses: .* will on every local address$/,
    );
  });

  it.each(['iptables', 'ipvs'] as const)(
    'carries masquerading between the section that %s reads and that of nftables',
    legacy => {
      const config = { iptables: { masqueradeAll: true, masqueradeBit: 20 } };
      expect(edits(config, legacy, 'nftables')).toMatchObject({
        'nftables.masqueradeAll': true,
        'nftables.masqueradeBit': 20,
      });
      expect(edits({ nftables: { masqueradeAll: true, masqueradeBit: 20 } }, 'nftables', legacy)).toMatchObject({
        'iptables.masqueradeAll': true,
        'iptables.masqueradeBit': 20,
      });
    },
  );

  it('needs no copy between iptables and ipvs, which read the same section', () => {
    const config = { iptables: { masqueradeAll: true, masqueradeBit: 20 } };
    expect(edits(config, 'iptables', 'ipvs')).toEqual({ mode: 'ipvs' });
    expect(edits(config, 'ipvs', 'iptables')).toEqual({ mode: 'iptables' });
  });

  it('lets the old mode win over what the new section says, and warns', () => {
    const config = { iptables: { masqueradeAll: false }, nftables: { masqueradeAll: true, masqueradeBit: 3 } };
    expect(edits(config, 'iptables', 'nftables')).toMatchObject({
      'nftables.masqueradeAll': false,
      'nftables.masqueradeBit': 14,
    });
    expect(notes(config, 'iptables', 'nftables')).toContain(
      'warning nftables.masqueradeBit: 3 is replaced by 14, as iptables.masqueradeBit has it',
    );
  });

  it('copies sync periods that are set, and warns of slow ones', () => {
    const config = { iptables: { syncPeriod: '1m0s', minSyncPeriod: '10s' }, ipvs: { syncPeriod: '5s' } };
    expect(edits(config, 'iptables', 'nftables')).toMatchObject({
      'nftables.syncPeriod': '1m0s',
      'nftables.minSyncPeriod': '10s',
    });
    expect(notes(config, 'iptables', 'nftables')).toContainEqual(
      expect.stringMatching(/^warning nftables\.minSyncPeriod: .*nftables does well with 1s$/),
    );
    expect(edits(config, 'ipvs', 'iptables')).toEqual({ mode: 'iptables' });
    expect(notes(config, 'ipvs', 'iptables')).toEqual([
      'info iptables.syncPeriod: stays "1m0s"; ipvs.syncPeriod is "5s"',
    ]);
  });

  it.each(['0s', '0m0s', '30s', 'soon', null, 0])('does not copy a sync period of %s', value => {
    expect(edits({ ipvs: { syncPeriod: value } }, 'ipvs', 'iptables')).toEqual({ mode: 'iptables' });
  });

  it('names every option of ipvs that no other mode knows', () => {
    const config = {
      ipvs: {
        scheduler: 'sh',
        excludeCIDRs: ['10.1.0.0/16'],
        strictARP: true,
        tcpTimeout: '900s',
        tcpFinTimeout: '1m30s',
        udpTimeout: '500ms',
      },
    };
    for (const to of ['iptables', 'nftables'] as const) {
      const lost = translateConfig(config, 'ipvs', to, preserve).notes.filter(note => note.level === 'warning');
      expect(lost.map(note => note.path)).toEqual([
        'ipvs.scheduler',
        'ipvs.excludeCIDRs',
        'ipvs.strictARP',
        'ipvs.tcpTimeout',
        'ipvs.tcpFinTimeout',
        'ipvs.udpTimeout',
      ]);
      for (const note of lost) expect(note.message).toContain(`has no equivalent in ${to}`);
    }
    expect(notes(config, 'nftables', 'ipvs').filter(note => note.includes('comes into force'))).toHaveLength(6);
    expect(notes(config, 'iptables', 'nftables').filter(note => note.includes('ipvs'))).toEqual([]);
  });

  it('takes rr for no choice of a scheduler', () => {
    expect(notes({ ipvs: { scheduler: 'rr', excludeCIDRs: [] } }, 'ipvs', 'iptables')).toEqual([]);
  });

  it('names NodePorts on 127.0.0.1 only where the option is set', () => {
    expect(notes({ iptables: { localhostNodePorts: true } }, 'iptables', 'ipvs')).toEqual([
      'warning iptables.localhostNodePorts: has no equivalent in ipvs: NodePorts stop answering on 127.0.0.1',
    ]);
    expect(notes({ iptables: { localhostNodePorts: false } }, 'iptables', 'ipvs')).toEqual([]);
    expect(notes({ iptables: { localhostNodePorts: false } }, 'ipvs', 'iptables')).toEqual([
      'info iptables.localhostNodePorts: false comes into force: NodePorts do not answer on 127.0.0.1',
    ]);
  });

  it('names the leftover feature gate, and refuses one that forbids the mode', () => {
    expect(notes({ featureGates: { NFTablesProxyMode: true } }, 'iptables', 'ipvs')[0]).toMatch(
      /^info featureGates\.NFTablesProxyMode: true is a leftover/,
    );
    expect(notes({ featureGates: { NFTablesProxyMode: false } }, 'iptables', 'nftables')).toContainEqual(
      'error featureGates.NFTablesProxyMode: false forbids nftables: remove it first',
    );
    const off = { featureGates: { KubeProxyIPVS: false } };
    expect(notes(off, 'iptables', 'ipvs')).toEqual([
      'error featureGates.KubeProxyIPVS: false forbids ipvs: remove it first',
    ]);
    expect(notes(off, 'iptables', 'nftables').filter(note => note.includes('KubeProxyIPVS'))).toEqual([]);
  });

  it('survives a configuration of odd shapes', () => {
    const odd = { iptables: 'x', ipvs: ['y'], nftables: 3, nodePortAddresses: 'primary', featureGates: true };
    expect(edits(odd, 'ipvs', 'nftables')).toMatchObject({ mode: 'nftables' });
  });

  it('changes nothing of what it was given', () => {
    const config = structuredClone(kubeadm);
    translateConfig(config, 'ipvs', 'nftables', preserve);
    expect(config).toEqual(kubeadm);
  });
});
