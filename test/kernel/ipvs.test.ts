import { describe, expect, it } from 'vitest';
import { servicePort } from '../../src/core/service-port.ts';
import { parseAddresses, parseIpVs, parseIpVsConnections, readIpvs } from '../../src/kernel/ipvs.ts';
import { IP_VS, IP_VS_CONN, KUBE_IPVS0 } from './dumps.ts';

describe('ipvs mode', () => {
  it('reads hexadecimal addresses and ports of both families', () => {
    expect(parseIpVs(IP_VS)).toEqual([
      { protocol: 'TCP', address: '10.96.0.11', port: 80 },
      { protocol: 'TCP', address: '10.96.0.12', port: 80 },
      { protocol: 'UDP', address: 'fd00:10:96::b', port: 53 },
      { protocol: 'TCP', address: '192.168.7.2', port: 30080 },
      { protocol: 'TCP', address: '192.168.7.99', port: 6443 },
    ]);
  });

  it('answers for what kube-ipvs0 carries, with or without destinations', () => {
    const { served, present } = readIpvs(parseIpVs(IP_VS), parseAddresses(KUBE_IPVS0));
    expect(present).toBe(true);
    expect([...served]).toEqual(['10.96.0.11:80/TCP', '10.96.0.12:80/TCP', '[fd00:10:96::b]:53/UDP']);
  });

  it('misses a Service whose address is not on the device, and all without it', () => {
    const addresses = parseAddresses(KUBE_IPVS0.replace('10.96.0.11/32', '10.96.0.99/32'));
    expect(readIpvs(parseIpVs(IP_VS), addresses).served.has('10.96.0.11:80/TCP')).toBe(false);
    expect(readIpvs(parseIpVs(IP_VS), undefined)).toEqual({ present: false, served: new Set(), nodePorts: new Set() });
  });

  it('counts connections, and the established ones by virtual server', () => {
    const { total, established } = parseIpVsConnections(IP_VS_CONN);
    expect(total).toBe(3);
    expect([...established]).toEqual([['10.96.0.11:80/TCP', 1]]);
  });

  it('writes an IPv6 address the same way however it was spelled', () => {
    expect(servicePort('FD00:0010:0096:0:0:0:0:000B', 53, 'udp')).toBe('[fd00:10:96::b]:53/UDP');
  });
});
