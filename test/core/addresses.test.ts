import { describe, expect, test } from 'vitest';
import { hostPort, inRange, sameRanges, servicePort } from '../../src/core/addresses.ts';

test('the same text for the same address', () => {
  expect(servicePort('fd00:0:0:0::1', 53, 'udp')).toBe('[fd00::1]:53/UDP');
  expect(hostPort('fd00::0005', 80)).toBe('[fd00::5]:80');
  expect(hostPort('10.0.0.1', '80')).toBe('10.0.0.1:80');
});

describe('sameRanges', () => {
  test.each([
    ['order and spelling', ['10.0.0.0/8', ' 192.168.0.1/32'], ['192.168.0.1', '10.1.2.3/8'], true],
    ['joined by the kernel', ['10.0.0.0/9', '10.128.0.0/9'], ['10.0.0.0/8'], true],
    ['one within the other', ['10.0.0.0/8', '10.1.0.0/16'], ['10.0.0.0-10.255.255.255'], true],
    ['one less', ['10.0.0.0/8', '11.0.0.0/8'], ['10.0.0.0/8'], false],
    ['one address more', ['10.0.0.0/8'], ['10.0.0.0-11.0.0.0'], false],
    ['IPv6', ['fd00::/8', '::1'], ['::1/128', 'fd00:0::/8'], true],
    ['families apart', ['0.0.0.0/0'], ['::/0'], false],
    ['no range at all', ['here'], ['there'], false],
  ])('%s', (_, a, b, same) => expect(sameRanges(a, b)).toBe(same));
});

test('inRange', () => {
  expect(inRange('10.9.8.7', '10.0.0.0/8')).toBe(true);
  expect(inRange('11.0.0.0', '10.0.0.0/8')).toBe(false);
  expect(inRange('fd00::1', '0.0.0.0/0')).toBe(false);
  expect(inRange('here', '0.0.0.0/0')).toBe(false);
});
