// A cluster whose every text wants to steer the terminal, and the CLI as a process: on pipes, and on a terminal where there is one.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSim } from '../../src/commands/sim-cluster.ts';
import { PAYLOADS, unsafeIn, withoutColours } from '../report/hostile.ts';
import { hasTerminal, runCli, runOnTerminal, tempFile } from './run-cli.ts';

const HOSTILE = PAYLOADS.filter(text => text !== '\u0000').join(' ');

let sim: Awaited<ReturnType<typeof startSim>>;
let kubeconfig: string;

beforeAll(async () => {
  sim = await startSim({ nodes: 3, namespaces: 4, services: 20, mode: 'iptables', seed: 8 });
  kubeconfig = tempFile(
    'kubeconfig',
    sim.kubeconfig().replaceAll('simulated\n', `${JSON.stringify(`sim${HOSTILE}`)}\n`),
  );
  for (const { metadata } of sim.store.list('Node', undefined)) {
    sim.store.mutate('Node', undefined, metadata.name, node => {
      Object.assign(node.status.nodeInfo, { osImage: `Linux${HOSTILE}`, kernelVersion: `6.1.0${HOSTILE}` });
      node.metadata.labels = { ...node.metadata.labels, 'topology.kubernetes.io/zone': `zone${HOSTILE}` };
    });
  }
  sim.store.mutate('DaemonSet', 'kube-system', 'kube-proxy', daemonSet => {
    daemonSet.metadata.annotations = { 'meta.helm.sh/release-name': `owner${HOSTILE}` };
  });
  for (const { metadata } of sim.store.list('Service', undefined).slice(0, 5)) {
    sim.store.mutate('Service', metadata.namespace, metadata.name, service => {
      service.spec.sessionAffinity = `ClientIP${HOSTILE}`;
      service.spec.externalIPs = [`10.0.0.1${HOSTILE}`];
    });
  }
});
afterAll(() => sim.close());

const COMMANDS = [
  ['inventory'],
  ['plan', '--to', 'nftables'],
  ['preflight', '--to', 'nftables'],
  ['preflight', '--to', 'nftables', '--output', 'junit'],
  ['status'],
  ['migrate', '--to', 'nftables', '--yes'],
  ['rollback', '--yes'],
];

describe.each(COMMANDS.map(args => [args.join(' '), args] as const))('%s', (_command, args) => {
  it('writes harmless text', async () => {
    const { stdout, stderr } = await runCli(['--kubeconfig', kubeconfig, '--verbose', ...args]);
    expect(unsafeIn(stdout)).toEqual([]);
    expect(unsafeIn(stderr)).toEqual([]);
    expect(stderr).toContain('\\u{1b}]0;owned\\u{7}');
  });

  it.skipIf(args.includes('junit'))('writes sound JSON of harmless characters that holds the data', async () => {
    const { stdout, stderr } = await runCli(['--kubeconfig', kubeconfig, '--format', 'json', ...args]);
    expect(unsafeIn(stdout)).toEqual([]);
    expect(unsafeIn(stderr)).toEqual([]);
    if (stdout === '') return;
    const documents = args[0] === 'preflight' ? [stdout] : stdout.trim().split('\n');
    expect(documents.map(text => JSON.stringify(JSON.parse(text))).join('')).toContain('u001b]0;owned');
  });

  it.skipIf(!hasTerminal)('writes harmless text on a terminal', async () => {
    const { stdout } = await runOnTerminal(['--kubeconfig', kubeconfig, ...args]);
    expect(stdout).toContain('\\u{1b}]0;owned\\u{7}');
    expect(unsafeIn(withoutColours(stdout).replaceAll('\r\n', '\n'))).toEqual([]);
  });
});
