import { describe, expect, it } from 'vitest';
import { ProxyctlError } from '../../src/core/errors.ts';
import { WARM } from '../../src/core/proxy-address.ts';
import { parseArguments } from '../../src/watcher/arguments.ts';

const WATCH =
  'watch --node n1 --vantage pod --targets /t.json --main [::1]:10249,127.0.0.1:10256 --warm 127.0.0.1:10349,127.0.0.1:10356';
const SWEEP =
  'sweep --left ipvs --now nftables --drain 30 --wait 300 --serving 127.0.0.1:10349,127.0.0.1:10356 --gone 10.0.0.1:9249,127.0.0.1:9256';
const parse = (text: string) => parseArguments(text.split(' '));

describe('the arguments of the program on a node', () => {
  it('are those of the pods that proxyctl makes', () => {
    expect(parse(WATCH)).toEqual({
      command: 'watch',
      targetsFile: '/t.json',
      options: {
        node: 'n1',
        vantage: 'pod',
        main: { metrics: { address: '::1', port: 10249 }, healthz: { address: '127.0.0.1', port: 10256 } },
        warm: WARM,
        addresses: [],
      },
    });
    expect(parse(`${WATCH} --addresses 10.0.0.1,fd00::1 --own proxyctl/probe-1=10.96.7.7`)).toMatchObject({
      options: { addresses: ['10.0.0.1', 'fd00::1'], own: { name: 'proxyctl/probe-1', address: '10.96.7.7' } },
    });
    expect(parse(`${WATCH} --trace 10.96.0.10:53/UDP,[fd00::1]:80/TCP`)).toMatchObject({
      options: { trace: ['10.96.0.10:53/UDP', '[fd00::1]:80/TCP'] },
    });
    expect(parse(`${SWEEP} --exclude-cidrs 10.0.0.0/8,fd00::/64`)).toEqual({
      command: 'sweep',
      options: {
        left: 'ipvs',
        now: 'nftables',
        drainSeconds: 30,
        waitSeconds: 300,
        serving: WARM,
        gone: { metrics: { address: '10.0.0.1', port: 9249 }, healthz: { address: '127.0.0.1', port: 9256 } },
        excludeCIDRs: ['10.0.0.0/8', 'fd00::/64'],
      },
    });
  });

  it.each([
    '',
    'look',
    `${WATCH} --bogus 1`,
    `${WATCH} more`,
    `${WATCH} --trace 10.96.0.10`,
    WATCH.replace('pod', 'moon'),
    WATCH.replace('--node n1 ', ''),
    WATCH.replace('[::1]:10249,', ''),
    WATCH.replace('[::1]:10249', '10249'),
    WATCH.replace('[::1]:10249', '::1:10249'),
    `${WATCH} --addresses 10.0.0.1,node1`,
    `${WATCH} --own probe=10.96.7.7`,
    `${WATCH} --own proxyctl/probe=web`,
    SWEEP.replace('ipvs', 'ebpf'),
    SWEEP.replace('--drain 30', '--drain soon'),
    `${SWEEP} --exclude-cidrs 10.0.0.0`,
    `${SWEEP} --exclude-cidrs 10.0.0.0/33`,
  ])('refuses "%s" with one line and exit code 64', text => {
    const error = (() => {
      try {
        return parse(text);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(ProxyctlError);
    expect(error).toMatchObject({ exitCode: 64, message: expect.not.stringContaining('\n') });
  });
});
