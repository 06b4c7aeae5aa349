import { describe, expect, it } from 'vitest';
import { collectKernel, readableModes, readIfThere } from '../../src/watcher/collect.ts';
import { IPTABLES_SAVE, NFT_JSON } from '../kernel/dumps.ts';
import { FakeNode } from './fake-node.ts';

/** What iptables-nft 1.8.9 prints of a table with `ip saddr 192.0.2.1 counter` in it, which nft added. */
const HIDDEN = "# Table `nat' is incompatible, use 'nft' tool.\n";
const REST = IPTABLES_SAVE.slice(IPTABLES_SAVE.indexOf('*filter'));

const chains = (...names: readonly [table: string, name: string][]) =>
  JSON.stringify({
    nftables: [
      { metainfo: { version: '1.0.6', release_name: 'Lester Gooch #5', json_schema_version: 1 } },
      ...names.map(([table, name], handle) => ({ chain: { family: 'ip', table, name, handle } })),
    ],
  });

/** A node in nftables mode where iptables-nft-save prints this. */
function node(save: string, listed?: { code?: number; stdout?: string; stderr?: string }): FakeNode {
  const fake = new FakeNode();
  fake.programs = {
    'nft -j list table ip kube-proxy': { stdout: NFT_JSON },
    'nft -j list table ip6 kube-proxy': { code: 1, stderr: 'Error: No such file or directory' },
    'iptables-nft-save': { stdout: save },
    'ip6tables-nft-save': {},
    'ipset list -n': {},
    'ip -o addr show dev kube-ipvs0': { code: 1, stderr: 'Device "kube-ipvs0" does not exist.' },
    ...(listed ? { 'nft -j list chains ip': listed } : {}),
  };
  return fake;
}

describe('a table with rules that only nft knows', () => {
  it('hides the rules of iptables and ipvs where it has chains of kube-proxy, and not those of nftables', async () => {
    const listed = chains(['nat', 'PREROUTING'], ['nat', 'KUBE-SERVICES'], ['filter', 'KUBE-FORWARD']);
    const collected = await collectKernel(node(HIDDEN + REST, { stdout: listed }));
    expect(readableModes(collected)).toEqual(['nftables']);
    expect(collected.failed).toEqual([
      {
        what: 'iptables-nft-save',
        error: 'nat of ip has rules that only nft knows, and chains of kube-proxy: nat/KUBE-SERVICES',
        modes: ['iptables', 'ipvs'],
      },
    ]);
  });

  it("hides nothing where it has none: somebody else's rules stand there alone", async () => {
    const listed = chains(['nat', 'PREROUTING'], ['nat', 'KUBE-KUBELET-CANARY'], ['filter', 'KUBE-FORWARD']);
    expect(readableModes(await collectKernel(node(HIDDEN + REST, { stdout: listed })))).toHaveLength(3);
  });

  it('may hide anything where nft cannot tell its chains', async () => {
    const collected = await collectKernel(node(HIDDEN, { code: 1, stderr: 'Operation not permitted\n' }));
    expect(readableModes(collected)).toEqual(['nftables']);
    expect(collected.failed[0]?.error).toContain('cannot be listed: Operation not permitted');
  });

  it('is asked about nowhere else', async () => {
    const fake = node(IPTABLES_SAVE);
    expect(readableModes(await collectKernel(fake))).toHaveLength(3);
    expect(fake.calls.map(({ command }) => command)).not.toContain('nft -j list chains ip');
  });
});

it('a file is absent only when there is none', async () => {
  const fake = new FakeNode();
  expect(await readIfThere(fake, '/proc/net/ip_vs')).toBeUndefined();
  for (const error of [new Error('read timed out'), Object.assign(new Error('no'), { code: 'EACCES' })]) {
    fake.readFile = () => Promise.reject(error);
    await expect(readIfThere(fake, '/proc/net/ip_vs')).rejects.toBe(error);
  }
});
