import { describe, expect, it } from 'vitest';
import { addressesText, boundAddresses, proxyAddresses, readHostPort } from '../../src/core/proxy-address.ts';

// What kube-proxy 1.36's SetDefaults_KubeProxyConfiguration makes of it.
describe.each([
  ['nothing', {}, '127.0.0.1:10249,0.0.0.0:10256', '127.0.0.1:10249,127.0.0.1:10256'],
  [
    'what kubeadm writes for IPv4',
    { bindAddress: '0.0.0.0', metricsBindAddress: '', healthzBindAddress: '' },
    '127.0.0.1:10249,0.0.0.0:10256',
    '127.0.0.1:10249,127.0.0.1:10256',
  ],
  [
    'what kubeadm writes for IPv6',
    { bindAddress: '::', metricsBindAddress: '', healthzBindAddress: '' },
    '[::1]:10249,[::]:10256',
    '[::1]:10249,127.0.0.1:10256',
  ],
  [
    'addresses alone',
    { metricsBindAddress: '10.0.0.1', healthzBindAddress: 'fd00::1' },
    '10.0.0.1:10249,[fd00::1]:10256',
  ],
  [
    'other ports',
    { metricsBindAddress: '0.0.0.0:9249', healthzBindAddress: '[::]:9256' },
    '0.0.0.0:9249,[::]:9256',
    '127.0.0.1:9249,127.0.0.1:9256',
  ],
  [
    'nulls',
    { bindAddress: null, metricsBindAddress: null },
    '127.0.0.1:10249,0.0.0.0:10256',
    '127.0.0.1:10249,127.0.0.1:10256',
  ],
])('a configuration of %s', (_what, config, bound, asked = bound) => {
  it('says where it is bound and where it can be asked', () => {
    expect(addressesText(boundAddresses(config))).toBe(bound);
    expect(addressesText(proxyAddresses(config))).toBe(asked);
  });
});

describe('an address with a port', () => {
  it('is read as it is written', () => {
    expect(readHostPort('[fd00::1]:80')).toEqual({ address: 'fd00::1', port: 80 });
    expect(readHostPort('10.0.0.1:80')).toEqual({ address: '10.0.0.1', port: 80 });
    for (const text of ['10.0.0.1', 'fd00::1:80', ':80', 'web:80', '']) expect(readHostPort(text)).toBeUndefined();
  });
});
