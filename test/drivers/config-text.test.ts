import { describe, expect, it } from 'vitest';
import { editConfig, parseConfig } from '../../src/drivers/config-text.ts';

const TEXT = `# kept
apiVersion: kubeproxy.config.k8s.io/v1alpha1
mode: "iptables"   # was chosen in 2019
iptables:
  masqueradeAll: true
nodePortAddresses: null`;

describe('editConfig', () => {
  it('changes what it is told and nothing else', () => {
    const edited = editConfig(TEXT, [
      { path: ['mode'], value: 'nftables' },
      { path: ['nftables', 'masqueradeAll'], value: true },
    ]);
    expect(edited.split('\n').slice(0, 2)).toEqual(TEXT.split('\n').slice(0, 2));
    expect(edited).toContain('# was chosen in 2019');
    expect(edited.endsWith('\n')).toBe(false);
    expect(parseConfig(edited)).toEqual({
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      mode: 'nftables',
      iptables: { masqueradeAll: true },
      nodePortAddresses: null,
      nftables: { masqueradeAll: true },
    });
  });

  it('leaves a text as it is where nothing changes', () => {
    expect(editConfig(TEXT, [])).toBe(TEXT.replace('"iptables"   #', '"iptables" #'));
  });
});

describe('parseConfig', () => {
  it.each(['- a list', 'just text', 'a: [1', 'a: &x 1\nb: *x'])('refuses %j', text => {
    expect(() => parseConfig(text)).toThrow();
  });
});
