import { describe, expect, it } from 'vitest';
import { firstSyncSeconds, nodeSeconds } from '../../src/core/estimate.ts';
import type { Mode } from '../../src/core/mode.ts';

describe('firstSyncSeconds', () => {
  it.each<[Mode, number, number, number, number]>([
    ['nftables', 0, 0, 0, 0],
    ['nftables', 300, 600, 0.24, 0.24],
    ['nftables', 1000, 2000, 0.3, 1.1],
    ['nftables', 5000, 10_000, 4.4, 11.6],
    ['nftables', 10_000, 20_000, 77, 106],
    ['nftables', 5000, 250_000, 120, 1200],
    ['iptables', 10_000, 20_000, 30, 50],
  ])('is within what was measured for %s with %i Services and %i endpoints', (to, services, endpoints, low, high) => {
    const seconds = firstSyncSeconds(to, services, endpoints);
    expect(seconds).toBeGreaterThanOrEqual(low - 1e-9);
    expect(seconds).toBeLessThanOrEqual(high + 1e-9);
  });

  it('never shrinks with size', () => {
    let before = 0;
    for (let services = 0; services < 30_000; services += 250) {
      const seconds = firstSyncSeconds('nftables', services, 0);
      expect(seconds).toBeGreaterThanOrEqual(before);
      before = seconds;
    }
  });
});

describe('nodeSeconds', () => {
  it('adds soak, and the drain only when ipvs is left', () => {
    const load = { from: 'iptables', to: 'nftables', services: 0, endpoints: 0, soak: 5, drain: 30 } as const;
    expect(nodeSeconds(load)).toBe(50);
    expect(nodeSeconds({ ...load, from: 'ipvs' })).toBe(80);
    expect(nodeSeconds({ ...load, from: 'nftables', to: 'ipvs' })).toBe(50);
  });
});
