// kube-proxies that answer elsewhere than on 127.0.0.1:10249 are found, on every way: watched, swept, verified.
import { describe, expect, it } from 'vitest';
import type { Bindings } from '../../src/sim/kubeadm.ts';
import { embeddedTestbed } from './embedded-testbed.ts';
import { thereAndBack } from './migration.ts';

const CASES: [string, Bindings][] = [
  ['an IPv6 cluster of kubeadm, with metrics on ::1', { bindAddress: '::' }],
  ['other ports, on all addresses', { metricsBindAddress: '0.0.0.0:9249', healthzBindAddress: '[::]:9256' }],
];

describe.concurrent.each(CASES)('%s', (_name, bindings) => {
  it('is migrated and taken back without loss, and can be verified', { timeout: 120_000 }, async context => {
    const bed = await embeddedTestbed('iptables', 16, 3, { bindings });
    context.onTestFinished(() => bed.close());
    const verified = await bed.proxyctl('verify');
    expect(verified.code, verified.stderr + verified.stdout).toBe(0);
    await thereAndBack(bed, 'iptables', 'ipvs');
  });
});
